//! Model of the note: one sleeper, one waker, in every interleaving.
//!
//! What is checked: the sleeper always comes back, and sees what the waker wrote before the wake-up.
//! What makes it fail: without the Release of the wake-up the written value is read unsynchronised; without the futex's
//! second look at its word, under the lock, the wake-up falls between look and sleep, and the sleeper never comes back.

use crate::loom::with_bug;
use crate::model::fails;
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

#[test]
fn without_the_look_under_the_lock_it_is_lost() {
    let test = "models::loom_note::without_the_look_under_the_lock_it_is_lost";
    fails(test, "futex: word checked under the lock", "deadlock", sleeper_and_waker);
}
