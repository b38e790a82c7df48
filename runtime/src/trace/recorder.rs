//! The flight recorder: a trace that keeps only its last moments, to be looked at when something odd has happened
//! (Go: runtime/trace, `FlightRecorder`).
//!
//! It is a trace like any other (trace.rs) whose writer is a queue in memory:
//!
//! ```text
//!   the trace's thread ──► [piece][piece][piece] … ──► too old, or too many: dropped at this end
//!                          names of tracks: kept
//!   write_to ──► head, names, what is in the queue, foot: a whole trace
//! ```
//! `dump_on_hog` has a thread that waits until sysmon has seen a hog (hogs.rs), and writes then.
//!
//! A piece is what the thread has written at a time, whole events. One that an arrow or a slice would have begun in has
//! perhaps gone: viewers show an end without a beginning as nothing.

use super::CHUNK;
use crate::hogs::{Hog, Listener};
use crate::syscall::syscall;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait for what has happened to get here: two of the trace's rounds, and some. (A program that does nothing makes
/// no rounds.)
const LATE: Duration = Duration::from_millis(100);

struct Kept {
    /// The names of tracks, which are told once: a line each.
    names: Vec<u8>,
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// Rounds of the trace's thread that have brought something.
    rounds: u64,
}

struct Shared {
    kept: Mutex<Kept>,
    more: Condvar,
    min_age: Duration,
    max_bytes: usize,
}

/// The events in a piece of a trace: a line each, without the commas in between.
fn events(piece: &[u8]) -> impl Iterator<Item = &[u8]> {
    let trimmed = piece.split(|&c| c == b'\n').map(|line| {
        let line = line.strip_prefix(b",").unwrap_or(line);
        line.strip_suffix(b",").unwrap_or(line)
    });
    trimmed.filter(|line| line.starts_with(b"{\"ph\":"))
}

fn append(to: &mut Vec<u8>, event: &[u8]) {
    to.extend_from_slice(event);
    to.extend_from_slice(b",\n");
}

impl Shared {
    fn keep(&self, piece: &[u8]) {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        let mut rest = Vec::with_capacity(piece.len());
        for event in events(piece) {
            let name = event.starts_with(b"{\"ph\":\"M\"");
            append(if name { &mut kept.names } else { &mut rest }, event);
        }
        // Within a round it writes when it has a chunk together, and at the end what is left.
        kept.rounds += u64::from(piece.len() < CHUNK);
        kept.bytes += rest.len();
        kept.pieces.push_back((now, rest));
        // Old ones go when those behind them are old enough as well; and where it is too much, whatever their age.
        while let Some((_, oldest)) = kept.pieces.front() {
            let enough = kept.pieces.get(1).is_some_and(|(at, _)| now - *at >= self.min_age);
            if !enough && kept.bytes <= self.max_bytes {
                break;
            }
            kept.bytes -= oldest.len();
            kept.pieces.pop_front();
        }
        drop(kept);
        self.more.notify_all();
    }

    /// Blocks the thread until what has happened by now has come.
    fn wait(&self) {
        let until = Instant::now() + LATE;
        let mut kept = self.kept.lock();
        // The round that is under way may have read a ring before it was written; the one after it has not.
        let wanted = kept.rounds + 2;
        while kept.rounds < wanted && !self.more.wait_until(&mut kept, until).timed_out() {}
    }

    fn trace(&self) -> Vec<u8> {
        let kept = self.kept.lock();
        let mut out = b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n".to_vec();
        out.extend_from_slice(&kept.names);
        kept.pieces.iter().for_each(|(_, piece)| out.extend_from_slice(piece));
        drop(kept);
        if out.ends_with(b",\n") {
            out.truncate(out.len() - 2);
        }
        out.extend_from_slice(b"\n]}\n");
        out
    }
}

/// The trace's writer.
struct Recording(Arc<Shared>);

impl Write for Recording {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.keep(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The last moments of a trace ([`start`](crate::debug::trace::start)), in memory, to be written when one wants to know what has
/// just happened. Go: `trace.FlightRecorder`.
///
/// It costs what a trace costs (some 100 ns for each event), and it is one: while it records, no other can be started, and no
/// deadlock is reported. It ends when it is dropped.
///
/// ```
/// use gosched_runtime::debug::trace::FlightRecorder;
/// use std::time::Duration;
///
/// # unsafe { gosched_runtime::run(|| {
/// let recorder = FlightRecorder::start(Duration::from_secs(5), 16 << 20).unwrap();
/// gosched_runtime::Builder::new().name("odd".into()).spawn(|| ()).unwrap().join().unwrap();
/// let mut trace = Vec::new();
/// recorder.write_to(&mut trace).unwrap();
/// assert!(String::from_utf8(trace).unwrap().contains(" odd"));
/// # }) };
/// ```
#[must_use = "it ends when it is dropped"]
pub struct FlightRecorder {
    shared: Arc<Shared>,
    session: u32,
    on_hog: Option<Listener>,
}

impl FlightRecorder {
    /// Begins to record. It keeps what happened within the last `min_age` and a little more, as long as that is not more than
    /// `max_bytes` of text (a busy program makes some 40 MB a second). Never parks.
    ///
    /// # Errors
    /// As [`start`](crate::debug::trace::start).
    ///
    /// ```
    /// # use gosched_runtime::debug::trace::FlightRecorder;
    /// # use std::time::Duration;
    /// let recorder = FlightRecorder::start(Duration::from_secs(1), 1 << 20).unwrap();
    /// assert!(FlightRecorder::start(Duration::from_secs(1), 1 << 20).is_err()); // one at a time
    /// # drop(recorder);
    /// ```
    pub fn start(min_age: Duration, max_bytes: usize) -> io::Result<FlightRecorder> {
        let kept = Kept { names: Vec::new(), pieces: VecDeque::new(), bytes: 0, rounds: 0 };
        let shared = Arc::new(Shared { kept: Mutex::new(kept), more: Condvar::new(), min_age, max_bytes });
        let session = super::start_session(Recording(shared.clone()))?;
        Ok(FlightRecorder { shared, session, on_hog: None })
    }

    /// Writes what is kept: a whole trace, for <https://ui.perfetto.dev>. Runs that have not ended are not in it. Goes on
    /// recording. A goroutine gives its P away until what has happened up to now has come, 100 ms at most, and may park
    /// after that.
    ///
    /// # Errors
    /// The writer's.
    ///
    /// ```
    /// # use gosched_runtime::debug::trace::FlightRecorder;
    /// # use std::time::Duration;
    /// let recorder = FlightRecorder::start(Duration::from_secs(1), 1 << 20).unwrap();
    /// recorder.write_to(std::io::sink()).unwrap();
    /// ```
    pub fn write_to(&self, mut writer: impl Write) -> io::Result<()> {
        syscall(|| self.shared.wait());
        writer.write_all(&self.shared.trace())?;
        writer.flush()
    }

    /// From now on writes what is kept whenever a goroutine has run for longer than `threshold` without parking, in a call
    /// that is not announced by [`syscall`](crate::syscall()): for each of them once, into the writer that `open` gives for
    /// it. In place of what was asked for before. Never parks.
    ///
    /// sysmon sees who runs, every 10 ms or more often; a thread of the recorder's own calls `open` and writes. What is seen
    /// while that is busy is left out, but for the last one. Where `open` or its writer fails nothing is written, and the
    /// next hog is waited for.
    ///
    /// # Errors
    /// Where there can be no thread.
    ///
    /// ```
    /// # use gosched_runtime::debug::trace::FlightRecorder;
    /// # use std::time::Duration;
    /// let mut recorder = FlightRecorder::start(Duration::from_secs(5), 16 << 20).unwrap();
    /// recorder
    ///     .dump_on_hog(Duration::from_millis(100), |hog| {
    ///         std::fs::File::create(std::env::temp_dir().join(format!("hog-{}.json", hog.id)))
    ///     })
    ///     .unwrap();
    /// ```
    pub fn dump_on_hog<W: Write>(
        &mut self,
        threshold: Duration,
        mut open: impl FnMut(&Hog) -> io::Result<W> + Send + 'static,
    ) -> io::Result<()> {
        let (listener, shared) = (Listener::new(threshold), self.shared.clone());
        let dump = move || {
            while let Some(hog) = listener.wait() {
                shared.wait();
                let _the_next_one_may_work = open(&hog).and_then(|mut writer| {
                    writer.write_all(&shared.trace())?;
                    writer.flush()
                });
            }
        };
        self.on_hog = Some(listener);
        std::thread::Builder::new().name("gosched-recorder".into()).spawn(dump).map(drop)
    }
}

impl Drop for FlightRecorder {
    fn drop(&mut self) {
        if let Some(listener) = self.on_hog {
            listener.end();
        }
        // The only error there can be is that somebody else has stopped it; what he may have started since is not ours.
        let _ = super::stop_session(Some(self.session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(min_age: Duration, max_bytes: usize) -> Shared {
        let kept = Kept { names: Vec::new(), pieces: VecDeque::new(), bytes: 0, rounds: 0 };
        Shared { kept: Mutex::new(kept), more: Condvar::new(), min_age, max_bytes }
    }

    #[test]
    fn pieces_make_a_whole_trace_and_the_oldest_go() {
        let s = shared(Duration::from_secs(3600), 100);
        let text = |s: &Shared| String::from_utf8(s.trace()).unwrap();
        assert_eq!(text(&s), "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n\n]}\n");
        s.keep(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n{\"ph\":\"M\",\"name\":\"P0\"},\n{\"ph\":\"X\",\"n\":1}");
        s.keep(b",\n{\"ph\":\"X\",\"n\":2},\n{\"ph\":\"M\",\"name\":\"P1\"}");
        let whole = "[\n{\"ph\":\"M\",\"name\":\"P0\"},\n{\"ph\":\"M\",\"name\":\"P1\"},\n{\"ph\":\"X\",\"n\":1},\n{\"ph\":\"X\",\"n\":2}\n]}\n";
        assert!(text(&s).ends_with(whole), "{}", text(&s));
        // Too many bytes: the oldest event goes, the names of its track stay.
        for _ in 0..4 {
            s.keep(b",\n{\"ph\":\"X\",\"n\":3333}");
        }
        let now = text(&s);
        assert!(
            now.contains("P0") && now.contains("P1") && !now.contains("\"n\":1}") && now.contains("3333"),
            "{now}"
        );
        assert!(s.kept.lock().bytes <= 100);
    }

    #[test]
    fn what_is_old_goes() {
        let s = shared(Duration::ZERO, usize::MAX);
        s.keep(b"{\"ph\":\"X\",\"n\":1}");
        s.keep(b",\n{\"ph\":\"X\",\"n\":2}");
        s.keep(b"");
        let now = String::from_utf8(s.trace()).unwrap();
        assert!(!now.contains("\"n\":1}"), "{now}");
    }
}
