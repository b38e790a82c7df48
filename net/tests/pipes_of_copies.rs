//! The pipes through which copies go are kept for the next ones, up to a number, and none is lost. Alone in its process,
//! for it counts its descriptors.
mod common;
use common::*;
use gosched_net::copy;
use gosched_runtime::spawn;
use std::io::{Read, Write};

/// Pipes that are kept, of two descriptors each.
const KEPT: usize = 2 * 32;

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A copy of what has to be spliced; without its end, the copy runs into a sink that is gone.
fn copied(whole: bool) {
    let ((c, a), (b, d)) = (connected(), connected());
    let copying = spawn(move || copy(&a, &b));
    let feeding = spawn(move || {
        let block = vec![7; 100_000];
        let mut sent = 0;
        while (!whole || sent < 20) && (&c).write_all(&block).is_ok() {
            sent += 1;
        }
    });
    if whole {
        let mut got = vec![0; 2_000_000];
        (&d).read_exact(&mut got).unwrap();
        feeding.join().unwrap();
        assert_eq!(copying.join().unwrap().unwrap(), 2_000_000);
    } else {
        (&d).read_exact(&mut vec![0; 500_000]).unwrap();
        drop(d);
        assert!(copying.join().unwrap().is_err());
        feeding.join().unwrap();
    }
}

#[test]
fn pipes_are_used_again_and_not_lost() {
    run(|| {
        copied(true);
        let before = open_files();
        for round in 0..6 {
            let all: Vec<_> = (0..40).map(|i| spawn(move || copied((i + round) % 3 != 0))).collect();
            all.into_iter().for_each(|c| c.join().unwrap());
            let left = open_files();
            assert!(left <= before + KEPT, "{left} descriptors, {before} before");
        }
    });
}
