//! Bytes one way, with the time that they take and a bound on how many are under way.

use super::Faults;
use gosched_runtime::park::now;
use gosched_runtime::sync::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

/// Bytes that are under way or wait to be read; a writer waits beyond them.
const ROOM: usize = 64 << 10;

#[derive(Default)]
struct Flow {
    /// What was sent, and when it arrives, in order.
    sent: VecDeque<(Instant, VecDeque<u8>)>,
    len: usize,
    /// Nothing more comes after this moment.
    fin: Option<Instant>,
    /// Nobody reads any more.
    unread: bool,
    /// The connection is broken.
    reset: bool,
}

/// Until when a call may wait, and whether its end of the stream was closed meanwhile. Asked anew after each wake-up.
pub(super) type Limit<'a> = &'a dyn Fn() -> io::Result<Option<Instant>>;

pub(super) struct Pipe {
    faults: Faults,
    flow: Mutex<Flow>,
    /// Something to read, or room to write, or the end, or a limit has moved.
    changed: Condvar,
}

impl Pipe {
    pub(super) fn new(faults: &Faults) -> Pipe {
        Pipe { faults: faults.clone(), flow: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits for a change, or until `at`.
    fn wait<'a>(&self, flow: MutexGuard<'a, Flow>, at: Option<Instant>) -> MutexGuard<'a, Flow> {
        match at {
            None => self.changed.wait(flow),
            Some(at) => self.changed.wait_timeout(flow, at.saturating_duration_since(now())).0,
        }
    }

    /// Takes bytes out; parks until there are some. `peek`: leaves them there.
    pub(super) fn read(&self, buf: &mut [u8], peek: bool, limit: Limit<'_>) -> io::Result<usize> {
        let mut flow = self.flow.lock();
        loop {
            let until = limit()?;
            if buf.is_empty() {
                return Ok(0);
            }
            if flow.reset {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let t = now();
            let next = flow.sent.front().map(|(at, _)| *at);
            if next.is_some_and(|at| at <= t) {
                let n = self.take(&mut flow, buf, peek);
                drop(flow);
                self.changed.notify_all();
                return Ok(n);
            }
            if next.is_none() && flow.fin.is_some_and(|at| at <= t) {
                return Ok(0);
            }
            let event = next.or(flow.fin);
            let at = [until, event].into_iter().flatten().min();
            flow = self.wait(flow, at);
        }
    }

    fn take(&self, flow: &mut Flow, buf: &mut [u8], peek: bool) -> usize {
        let (_, bytes) = flow.sent.front_mut().expect("something has arrived");
        let n = self.faults.taken(buf.len().min(bytes.len()));
        if peek {
            buf.iter_mut().zip(bytes.iter()).take(n).for_each(|(to, from)| *to = *from);
            return n;
        }
        buf.iter_mut().zip(bytes.drain(..n)).for_each(|(to, from)| *to = from);
        if bytes.is_empty() {
            flow.sent.pop_front();
        }
        flow.len -= n;
        n
    }

    /// Puts bytes in; parks until there is room. An error also where it breaks now: the caller breaks the other way too.
    pub(super) fn write(&self, buf: &[u8], limit: Limit<'_>) -> io::Result<usize> {
        let mut flow = self.flow.lock();
        loop {
            let until = limit()?;
            if flow.reset || self.faults.breaks() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if flow.unread || flow.fin.is_some() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if buf.is_empty() {
                return Ok(0);
            }
            if flow.len < ROOM {
                let n = self.faults.taken(buf.len().min(ROOM - flow.len));
                let last = flow.sent.back().map_or_else(now, |(at, _)| *at);
                let at = self.faults.arrival().max(last);
                flow.sent.push_back((at, buf[..n].iter().copied().collect()));
                flow.len += n;
                drop(flow);
                self.changed.notify_all();
                return Ok(n);
            }
            flow = self.wait(flow, until);
        }
    }

    /// Nothing more is written.
    pub(super) fn finish(&self) {
        let mut flow = self.flow.lock();
        let last = flow.sent.back().map_or_else(now, |(at, _)| *at);
        flow.fin.get_or_insert(self.faults.arrival().max(last));
        drop(flow);
        self.changed.notify_all();
    }

    /// Nothing more is read: writers learn of it.
    pub(super) fn stop_reading(&self) {
        let mut flow = self.flow.lock();
        flow.unread = true;
        (flow.sent, flow.len) = (VecDeque::new(), 0);
        flow.fin.get_or_insert_with(now);
        drop(flow);
        self.changed.notify_all();
    }

    pub(super) fn reset(&self) {
        self.flow.lock().reset = true;
        self.changed.notify_all();
    }

    /// A limit has changed.
    pub(super) fn look_again(&self) {
        // Under the lock, so that nobody is between its look at the limit and its wait.
        drop(self.flow.lock());
        self.changed.notify_all();
    }
}

/// `d` from now; `None` where the clock does not reach so far.
pub(super) fn from_now(d: Duration) -> Option<Instant> {
    now().checked_add(d)
}
