//! Keys that are due and that nobody asks for.
//!
//! Ten times a second each shard that has keys which end is looked at in part, a few places further each time. Where more
//! than a quarter of those seen was due there are many more, and the next part follows at once, up to a limit: the memory
//! comes back fast after many keys have ended together, and a shard with nothing due costs a glance. (Redis' way, with a
//! walk in the place of chance.)

use crate::request::Args;
use crate::server::{self, Server};
use crate::store::{Delta, Keys, SHARDS, Store};
use gosched::time::Ticker;
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(100);
/// Places of a table that are looked at under one lock.
const PLACES: usize = 256;
/// And how often in a row.
const ROUNDS: usize = 64;

/// Runs as long as the program does.
pub fn run(server: Arc<Server>) {
    let ticker = Ticker::new(EVERY);
    let mut delta = Delta::default();
    for _ in ticker.receiver() {
        for i in 0..SHARDS {
            for _ in 0..ROUNDS {
                let now = server::now();
                let (due, seen) = {
                    let mut shard = server.store.lock_shard(i);
                    if shard.volatile() == 0 {
                        break;
                    }
                    shard.look_for_due(PLACES, now)
                };
                // Looking at a key that is due removes it. By now it may be another one, which stays.
                for key in &due {
                    let words = [(0, 0), (0, key.len())];
                    let args = Args::new(key, &words);
                    Store::with(&server, &[(Keys::First, args)], now, &mut delta, |db| {
                        db.get(key);
                    });
                }
                if due.len() * 4 <= seen {
                    break;
                }
            }
        }
    }
}
