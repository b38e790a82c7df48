//! What has come and gone takes no memory: function timers, clocks, children of a long-lived context. Alone in its process, for
//! it measures it.

mod common;
use common::*;

use gosched::chan::select;
use gosched::context::Context;
use gosched::sync::WaitGroup;
use gosched::time::{Ticker, Timer, after, after_func, tick};
use gosched::yield_now;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const MANY: usize = if cfg!(debug_assertions) { 50_000 } else { 250_000 };

/// Less than 70 bytes for each of them in a release build.
const SLACK: usize = 16 << 20;

/// Bytes of this process that are in memory; 0 where that cannot be had.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|s| s.split(' ').nth(1)?.parse().ok()).unwrap_or(0) * 4096
}

#[track_caller]
fn leaves_nothing(what: &str, mut f: impl FnMut(usize)) {
    (0..1000).for_each(&mut f); // stacks, heaps and lists have their size now
    let before = resident();
    (0..MANY).for_each(f);
    let grown = resident().saturating_sub(before);
    assert!(grown < SLACK, "{what}: grown by {grown} bytes");
}

#[test]
fn nothing_is_left() {
    rt(|| {
        leaves_nothing("timers stopped", |_| {
            let big = [0u64; 16];
            let t = after_func(HOUR, move || assert_eq!(big[0], 1));
            assert!(t.reset(HOUR * 2) && t.reset(Duration::MAX) && t.reset(HOUR) && t.stop());
        });

        leaves_nothing("clocks dropped", |_| {
            drop((after(HOUR), tick(HOUR), Timer::new(HOUR), Ticker::new(HOUR)));
            assert!(Timer::new(Duration::ZERO).stop());
            Ticker::new(HOUR).stop();
        });

        let due = after(Duration::ZERO);
        leaves_nothing("clocks that a select left", |_| {
            select! {
                recv(after(HOUR)) -> _ => unreachable!(),
                recv(Ticker::new(HOUR).receiver()) -> _ => unreachable!(),
                recv(due) -> _ => {},
                default => {}
            }
        });
        let ready = tick(Duration::from_nanos(1));
        leaves_nothing("clocks that were waited for, and left", |_| {
            select! {
                recv(after(HOUR)) -> _ => unreachable!(),
                recv(Ticker::new(HOUR).receiver()) -> _ => unreachable!(),
                recv(ready) -> _ => {},
            }
        });

        let wg = WaitGroup::new();
        leaves_nothing("timers called", |i| {
            wg.add(1);
            let (wg2, big) = (wg.clone(), [i; 16]);
            let t = after_func(HOUR, move || {
                assert_eq!(big[15], i);
                wg2.done();
            });
            t.reset(Duration::ZERO);
            if i % 16 == 0 {
                wg.wait();
            }
        });
        wg.wait();

        let (parent, _cancel) = Context::background().with_timeout(HOUR);
        leaves_nothing("children", |i| {
            let (ctx, cancel) = parent.with_value(i).with_timeout(HOUR / 2);
            match i % 5 {
                0 => cancel.cancel(),
                1 => drop(ctx.done()),
                2 => assert!(ctx.after_func(|| ()).stop()),
                3 => drop(ctx.with_cancel()),
                _ => {}
            }
        });

        let (parent, _cancel) = Context::background().with_cancel();
        leaves_nothing("receivers that outlive their context", |i| {
            let done = parent.with_value(i).with_cancel().0.done();
            let stop = parent.with_cancel().0.after_func(|| ());
            if i % 64 == 0 {
                yield_now();
            }
            assert!(!done.is_closed() && stop.stop());
        });
    });
}
