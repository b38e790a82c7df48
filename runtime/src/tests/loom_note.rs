//! Model of the note: one sleeper, one waker, in every interleaving.
//!
//! What is checked: the sleeper always comes back, and sees what the waker wrote before the wake-up.
//! What makes it fail: without the Release of the wake-up the written value is read unsynchronised; without the futex's
//! second look at its word, under the lock, the wake-up falls between look and sleep, and the sleeper never comes back.

use crate::loom::with_bug;
use crate::note::Note;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

fn sleeper_and_waker() {
    loom::model(|| {
        let shared = Arc::new((Note::new(), UnsafeCell::new(0)));
        let waker = shared.clone();
        let t = thread::spawn(move || {
            // SAFETY: the sleeper reads only after the wake-up, if the note is right; loom reports it otherwise.
            waker.1.with_mut(|v| unsafe { *v = 7 });
            waker.0.notewakeup();
        });
        shared.0.notesleep();
        // SAFETY: as above.
        assert_eq!(shared.1.with(|v| unsafe { *v }), 7);
        t.join().unwrap();
        shared.0.noteclear();
        assert!(!shared.0.is_woken());
    });
}

#[test]
fn a_wake_up_is_never_lost() {
    sleeper_and_waker();
}

#[test]
#[should_panic]
fn without_release_the_value_is_not_seen() {
    with_bug("note: wake-up releases", sleeper_and_waker);
}

/// loom calls this a deadlock and, on its way out, aborts: so the model runs in a child.
#[test]
fn without_the_look_under_the_lock_it_is_lost() {
    const CHILD: &str = "GOSCHED_LOOM_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return with_bug("futex: word checked under the lock", sleeper_and_waker);
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "models::loom_note::without_the_look_under_the_lock_it_is_lost", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success() && said.contains("deadlock"), "{said}");
}
