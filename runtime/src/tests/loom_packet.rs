//! Model of the packet between a goroutine and its joiner (packet.rs), over the models' seam.
//!
//! What is checked: a joiner always comes back, and finds the result, written before DONE and by the goroutine alone; a
//! handle that is dropped instead leaves a result that is dropped once, by whoever goes last.
//! What makes it fail: without the Release of DONE the result is read while it is written; without the second look, as
//! the joiner parks, the goroutine's end falls between look and park, and nobody wakes it.

use crate::model::fails;
use crate::packet::Packet;
use crate::park::assert_quiet;
use loom::sync::Arc;
use loom::thread;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Counts its drops. Not loom's atomic: what is counted is no step.
struct Result(std::sync::Arc<AtomicU32>);

impl Drop for Result {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn goroutine_and_handle(joins: bool) {
    loom::model(move || {
        let drops = std::sync::Arc::new(AtomicU32::new(0));
        let packet = Arc::new(Packet::new(None));
        let (theirs, result) = (packet.clone(), Result(drops.clone()));
        let t = thread::spawn(move || theirs.complete(Ok(result)));
        if joins {
            packet.wait();
            assert!(packet.is_done());
            let result = packet.take().unwrap();
            assert_eq!(drops.load(Relaxed), 0);
            drop(result);
            assert_quiet();
        }
        drop(packet);
        t.join().unwrap();
        assert_eq!(drops.load(Relaxed), 1);
    });
}

#[test]
fn loom_a_result_reaches_its_joiner_or_is_dropped_once() {
    goroutine_and_handle(true);
    goroutine_and_handle(false);
}

#[test]
fn without_the_release_of_done_the_result_is_torn() {
    let test = "models::loom_packet::without_the_release_of_done_the_result_is_torn";
    fails(test, "packet: DONE releases the result", "Causality violation", || goroutine_and_handle(true));
}

#[test]
fn without_the_second_look_the_end_is_missed() {
    let test = "models::loom_packet::without_the_second_look_the_end_is_missed";
    fails(test, "packet: the joiner looks once more as it parks", "deadlock", || goroutine_and_handle(true));
}
