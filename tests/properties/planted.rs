//! Channels with a fault: our own, behind a wrapper that does something wrong. The checker must find each.

use super::channels::{Channels, Live, Ours};
use super::history::{Form, Outcome, Val, Wait};
use super::values::Value;
use gosched::chan::{Chan, Receiver, Sender};
use std::sync::Arc;
use std::sync::Mutex;

/// A value that was received is received once more.
pub const DUPLICATES: u8 = 0;
/// Takes the second value where there are two, and the first later.
pub const REORDERS: u8 = 1;
/// A close throws a value away.
pub const LOSES_AT_CLOSE: u8 = 2;
/// The next send after one that may have waited returns at once, as if woken by the same wake-up again.
pub const WAKES_TWICE: u8 = 3;
/// A select that has fired one arm fires another.
pub const FIRES_TWO: u8 = 4;
/// Polls and timeouts say that nothing is ready.
pub const SHY: u8 = 5;
/// A receive takes the channel for closed when it has received a value before.
pub const ENDS_EARLY: u8 = 6;

/// The first close closes nothing and wakes nobody.
pub const CLOSES_LATE: u8 = 7;
/// A receive that must wait does so in a place where nobody looks.
pub const FORGETS: u8 = 8;

pub struct Planted<const FAULT: u8>;

/// A handle of either kind: both sides of the channel, and what the fault has in mind.
#[derive(Clone)]
pub struct Both {
    tx: Sender<Value>,
    rx: Receiver<Value>,
    mind: Arc<Mutex<Mind>>,
}

#[derive(Default)]
struct Mind {
    stash: Option<Val>,
    owed: bool,
    received: usize,
    close_was_called: bool,
}

impl Both {
    fn mind<R>(&self, f: impl FnOnce(&mut Mind) -> R) -> R {
        f(&mut self.mind.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

impl<const FAULT: u8> Channels for Planted<FAULT> {
    type Tx = Both;
    type Rx = Both;

    fn make(cap: Option<usize>) -> (Both, Both) {
        let (tx, rx) = Ours::make(cap);
        let both = Both { tx, rx, mind: Arc::default() };
        (both.clone(), both)
    }

    fn comm(arms: Vec<Live<'_, Self>>, wait: Wait, form: Form) -> Outcome {
        let on: Vec<(bool, &Both)> = (arms.iter())
            .map(|a| match *a {
                Live::Send(b, _) => (true, b),
                Live::Recv(b) => (false, b),
            })
            .collect();
        let (first_sends, first) = on[0];
        match FAULT {
            DUPLICATES | REORDERS if !first_sends => {
                if let Some(v) = first.mind(|m| m.stash.take()) {
                    return Outcome::Got(0, v);
                }
            }
            WAKES_TWICE if first_sends && first.mind(|m| std::mem::take(&mut m.owed)) => {
                return Outcome::Sent(0);
            }
            FORGETS if !first_sends && wait == Wait::Forever => {
                Chan::<()>::nil().recv();
            }
            SHY if wait != Wait::Forever => return Outcome::NotReady,
            ENDS_EARLY if !first_sends && first.mind(|m| m.received == 2) => {
                first.mind(|m| m.received += 1);
                return Outcome::Ended(0);
            }
            _ => {}
        }
        let live = (arms.into_iter())
            .map(|a| match a {
                Live::Send(b, v) => Live::Send(&b.tx, v),
                Live::Recv(b) => Live::Recv(&b.rx),
            })
            .collect();
        let out = Ours::comm(live, wait, form);
        match (FAULT, out) {
            (DUPLICATES, Outcome::Got(a, v)) => on[a].1.mind(|m| m.stash = Some(v)),
            (REORDERS, Outcome::Got(a, v)) => {
                if let Ok(second) = on[a].1.rx.try_recv() {
                    on[a].1.mind(|m| m.stash = Some(v));
                    return Outcome::Got(a, second.id());
                }
            }
            (WAKES_TWICE, Outcome::Sent(a)) if wait == Wait::Forever => on[a].1.mind(|m| m.owed = true),
            (ENDS_EARLY, Outcome::Got(a, _)) => on[a].1.mind(|m| m.received += 1),
            (FIRES_TWO, Outcome::Sent(a) | Outcome::Got(a, _)) => {
                for (_, (sends, both)) in on.iter().enumerate().filter(|o| o.0 != a) {
                    if *sends {
                        let _ = both.tx.try_send(Value::none());
                    } else {
                        let _ = both.rx.try_recv();
                    }
                }
            }
            _ => {}
        }
        out
    }

    fn close(tx: &mut Option<Both>) -> Outcome {
        if FAULT == LOSES_AT_CLOSE {
            let _ = tx.as_ref().map(|b| b.rx.try_recv());
        }
        let first = |b: &Both| !b.mind(|m| std::mem::replace(&mut m.close_was_called, true));
        if FAULT == CLOSES_LATE && tx.as_ref().is_some_and(first) {
            return Outcome::Closed;
        }
        Ours::close(&mut tx.as_ref().map(|b| b.tx.clone()))
    }

    fn len(rx: &Both) -> usize {
        rx.rx.len()
    }
    fn is_closed(rx: &Both) -> bool {
        rx.rx.is_closed()
    }
    fn waiting(rx: &Both) -> Option<(usize, usize)> {
        Some(rx.rx.__waiting())
    }
}
