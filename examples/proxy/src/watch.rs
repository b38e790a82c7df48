//! The idle deadline: one goroutine looks at all tunnels now and then, and cuts those in which nothing has moved.
//!
//! A deadline on each read, moved on by each byte, is how one would do it where one does the reading. Here the kernel moves
//! the bytes, and does not report each; but it counts them (meter.rs). A look finds whether more has gone through than at
//! the last one, in either direction. A tunnel is cut when that has not been so for `idle`; it is looked at eight times
//! within that, so it ends at most an eighth later. Looking costs two system calls for each tunnel, and no traffic waits for
//! it. The same goes for a side that takes nothing more, for whatever waits there does not move.

use crate::table::Table;
use gosched::chan::select;
use gosched::context::Context;
use gosched::time::Ticker;
use std::time::Duration;

/// Until `over` is done.
pub(crate) fn run(table: &Table, idle: Duration, over: &Context) {
    let ticker = Ticker::new((idle / 8).max(Duration::from_millis(1)));
    loop {
        select! {
            recv(ticker.receiver()) -> _ => {},
            recv(over.done()) -> _ => return ticker.stop(),
        }
        for conn in table.open() {
            if conn.idle().is_some_and(|since| since >= idle) {
                conn.cut("idle");
            }
        }
    }
}
