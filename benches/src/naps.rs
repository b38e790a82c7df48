//! The sleeps of the workload `timers`: 100 for each task, of 1 to 10 ms, the same row in every program that is compared.

use std::time::Duration;

/// What is left of one task's row. (xorshift64*; one seed per task.)
pub struct Naps {
    state: u64,
    left: usize,
}

impl Naps {
    pub fn of(task: u64) -> Naps {
        Naps { state: (task + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15), left: 100 }
    }
}

impl Iterator for Naps {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let mut x = self.state;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.state = x;
        Some(Duration::from_micros(1000 + (x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % 9001))
    }
}

/// How long the longest sleeper of `tasks` sleeps.
pub fn longest(tasks: u64) -> Duration {
    (0..tasks).map(|task| Naps::of(task).sum()).max().unwrap_or_default()
}
