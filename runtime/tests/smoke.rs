//! The first life signs.
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::Arc;
#[test]
fn runs_and_joins() {
    let n = unsafe { gosched_runtime::run(|| gosched_runtime::spawn(|| 21).join().unwrap() * 2) };
    assert_eq!(n, 42);
    let c = Arc::new(AtomicUsize::new(0));
    let c2 = c.clone();
    unsafe { gosched_runtime::run(move || {
        let hs: Vec<_> = (0..10000).map(|_| { let c = c2.clone(); gosched_runtime::spawn(move || { for _ in 0..3 { gosched_runtime::yield_now(); } c.fetch_add(1, SeqCst); }) }).collect();
        for h in hs { h.join().unwrap() }
        gosched_runtime::sleep(std::time::Duration::from_millis(10));
    }) };
    assert_eq!(c.load(SeqCst), 10000);
}
