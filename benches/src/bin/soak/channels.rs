//! Channels: storms of selects over channels that are being closed, and the order of values.

use crate::ledger::{Rng, check};
use gosched::chan::{Chan, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, never, select};
use gosched::sync::WaitGroup;
use gosched::{spawn, yield_now};
use std::time::Duration;

/// What went through: how many, their sum, and the exclusive or of all.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Total {
    count: u64,
    sum: u64,
    xor: u64,
}

impl Total {
    fn add(&mut self, v: u64) {
        let Total { count, sum, xor } = *self;
        *self = Total { count: count + 1, sum: sum.wrapping_add(v), xor: xor ^ v };
    }

    fn join(&mut self, other: Total) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.xor ^= other.xor;
    }
}

/// Sends `n` values of its own to two channels, in every way there is. What was sent.
fn producer(mut rng: Rng, a: &Chan<u64>, b: &Chan<u64>, n: u64) -> Total {
    let mut sent = Total::default();
    for _ in 0..n {
        let v = rng.next();
        let limit = rng.micros(100);
        match rng.below(6) {
            0 => a.send(v),
            1 => select! {
                send(a, v) => {},
                send(b, v) => {},
            },
            2 => {
                let other = select! {
                    send(a, v) => None,
                    default => Some(b),
                };
                other.into_iter().for_each(|b| b.send(v));
            }
            3 => {
                let done = select! {
                    send(b, v) => true,
                    send(Chan::nil(), v) => unreachable!("nil"),
                    default(limit) => false,
                };
                if !done {
                    b.send(v);
                }
            }
            4 => {
                let mut rest = a.try_send(v);
                while let Err(TrySendError::Full(v)) = rest {
                    yield_now();
                    rest = a.try_send(v);
                }
                check(rest.is_ok(), || "closed under its senders".into());
            }
            _ => {
                let mut rest = b.send_timeout(v, limit);
                while let Err(SendTimeoutError::Timeout(v)) = rest {
                    rest = b.send_timeout(v, limit);
                }
                check(rest.is_ok(), || "closed under its senders".into());
            }
        }
        sent.add(v);
    }
    sent
}

/// Receives from both until both are closed and drained. What came.
fn consumer(mut rng: Rng, a: Chan<u64>, b: Chan<u64>, quit: Chan<()>) -> Total {
    let mut came = Total::default();
    let (mut a, mut b) = (a.receiver(), b.receiver());
    let (mut open_a, mut open_b) = (true, true);
    while open_a || open_b {
        let limit = rng.micros(200);
        // Some(None): closed.
        let (got_a, got_b) = match rng.below(4) {
            0 => select! {
                recv(a) -> v => (Some(v), None),
                recv(b) -> v => (None, Some(v)),
            },
            1 => select! {
                recv(b) -> v => (None, Some(v)),
                recv(a) -> v => (Some(v), None),
                default(limit) => (None, None),
            },
            2 => select! {
                recv(a) -> v => (Some(v), None),
                recv(b) -> v => (None, Some(v)),
                recv(quit) -> _ => {
                    yield_now();
                    (None, None)
                }
            },
            _ => match a.recv_timeout(limit) {
                Ok(v) => (Some(Some(v)), None),
                Err(RecvTimeoutError::Closed) if open_a => (Some(None), None),
                Err(_) => (None, None),
            },
        };
        for v in [got_a.flatten(), got_b.flatten()].into_iter().flatten() {
            came.add(v);
        }
        // A closed channel is always ready: Go's idiom is to go on with a nil one.
        if got_a == Some(None) {
            (a, open_a) = (never(), false);
        }
        if got_b == Some(None) {
            (b, open_b) = (never(), false);
        }
    }
    came
}

/// Producers and consumers, goroutines and now and then a thread, on two channels: what was sent is what came.
pub fn selects(rng: &mut Rng) -> u64 {
    let (a, b) = (Chan::new(rng.below(5) as usize), Chan::new(rng.below(200) as usize));
    let quit = Chan::new(0);
    let each = 1 + rng.below(300);
    let producers: Vec<_> = (0..1 + rng.below(12))
        .map(|_| {
            let (a, b, rng) = (a.clone(), b.clone(), Rng::new(rng.next()));
            spawn(move || producer(rng, &a, &b, each))
        })
        .collect();
    let thread = rng.one_in(8).then(|| {
        let (a, b, rng) = (a.clone(), b.clone(), Rng::new(rng.next()));
        std::thread::spawn(move || producer(rng, &a, &b, each))
    });
    let consumers: Vec<_> = (0..1 + rng.below(12))
        .map(|_| {
            let (a, b, quit, rng) = (a.clone(), b.clone(), quit.clone(), Rng::new(rng.next()));
            spawn(move || consumer(rng, a, b, quit))
        })
        .collect();
    let (mut sent, mut came) = (Total::default(), Total::default());
    producers.into_iter().for_each(|h| sent.join(h.join().expect("it does not panic")));
    // (A blocked thread: this goroutine is a hog now.)
    thread.into_iter().for_each(|h| sent.join(h.join().expect("it does not panic")));
    quit.close();
    a.close();
    b.close();
    consumers.into_iter().for_each(|h| came.join(h.join().expect("it does not panic")));
    check(sent == came, || format!("sent {sent:?}, came {came:?}"));
    sent.count
}

/// Values of several senders through a chain of goroutines: each sender's come in its order, all of them.
pub fn order(rng: &mut Rng) -> u64 {
    let (senders, each) = (1 + rng.below(6), 1 + rng.below(1000));
    let first = Chan::new(rng.below(64) as usize);
    let wg = WaitGroup::new();
    for sender in 0..senders {
        let out: Sender<(u64, u64)> = first.sender();
        wg.go(move || (0..each).for_each(|n| out.send((sender, n))));
    }
    let mut last = first.clone();
    for _ in 0..rng.below(20) {
        let (from, to) = (last, Chan::new(rng.below(3) as usize));
        last = to.clone();
        gosched::go!({
            from.iter().for_each(|v| to.send(v));
            to.close();
        });
    }
    gosched::go!({
        wg.wait();
        first.close();
    });
    let mut next = vec![0; senders as usize];
    let limit = Duration::from_secs(3600);
    while let Ok((sender, n)) = last.recv_timeout(limit) {
        let expected = &mut next[sender as usize];
        check(n == *expected, || format!("value {n} of sender {sender} came in the place of {expected}"));
        *expected += 1;
    }
    check(next.iter().all(|&n| n == each), || format!("{each} of each were sent, {next:?} came"));
    senders * each
}
