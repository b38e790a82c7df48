//! Model of the readers of a lock and the writer who waits for them (readers.rs), over the models' seam: two Ps of one slot.
//!
//! What is checked: a writer is alone, and sees and is seen (loom looks at every access to the cell); whoever sleeps is
//! woken (a deadlock is reported); in the end nobody is counted and no slot has the name.
//! loom takes SeqCst operations for AcqRel ones; the fences that stand for their one order are in readers.rs (`seq_cst`).
//! What makes it fail: that order taken out on either side; the reader's second look at the bias; the writer's second look; who
//! finds that another has taken its name out of the slot and does not acquire what that one has done.

use crate::model::fails;
use crate::readers::Readers;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

struct Lock {
    readers: Readers,
    value: UnsafeCell<u32>,
}

// SAFETY: the readers' protocol is what is being tested; loom reports a writer among others.
unsafe impl Sync for Lock {}
// SAFETY: as above.
unsafe impl Send for Lock {}

impl Lock {
    fn new(biased: bool) -> Arc<Lock> {
        let lock = Arc::new(Lock { readers: Readers::new(), value: UnsafeCell::new(0) });
        if biased {
            lock.read(|l| l.readers.begin_bias());
        }
        lock
    }

    fn read(&self, inside: impl FnOnce(&Lock)) -> u32 {
        let pass = self.readers.enter();
        inside(self);
        // SAFETY: a reader is in.
        let v = self.value.with(|v| unsafe { *v });
        // SAFETY: it came in with this pass.
        unsafe { self.readers.leave(pass) };
        v
    }

    /// The one writer.
    fn write(&self) {
        self.readers.bar();
        self.add();
    }

    fn try_write(&self) {
        if self.readers.try_bar() {
            self.add();
        }
    }

    fn add(&self) {
        // SAFETY: the readers are barred.
        self.value.with_mut(|v| unsafe { *v += 1 });
        // SAFETY: the writer has barred them.
        unsafe { self.readers.unbar(false) };
    }
}

fn check(bound: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(bound);
    model.check(f);
}

/// One reads by a slot, or tries to, while the other writes.
fn reader_and_writer(write: fn(&Lock)) {
    check(4, move || {
        let lock = Lock::new(true);
        let reader = lock.clone();
        let t = thread::spawn(move || reader.read(|_| ()));
        write(&lock);
        assert!(t.join().unwrap() <= 1);
        lock.readers.assert_free();
    });
}

/// Of two readers one begins the bias, while the other comes in and the writer comes.
fn the_bias_begins() {
    check(3, || {
        let lock = Lock::new(false);
        let (first, second) = (lock.clone(), lock.clone());
        let t = [
            thread::spawn(move || first.read(|l| l.readers.begin_bias())),
            thread::spawn(move || second.read(|_| ())),
        ];
        lock.write();
        t.into_iter().for_each(|t| assert!(t.join().unwrap() <= 1));
        lock.readers.assert_free();
    });
}

/// Two read by slots, one twice, while the writer comes.
fn two_readers() {
    check(2, || {
        let lock = Lock::new(true);
        let (first, second) = (lock.clone(), lock.clone());
        let t = [
            thread::spawn(move || first.read(|_| ()) + first.read(|_| ())),
            thread::spawn(move || second.read(|l| l.readers.begin_bias())),
        ];
        lock.write();
        t.into_iter().for_each(|t| assert!(t.join().unwrap() <= 2));
        lock.readers.assert_free();
    });
}

/// Two readers of one P and the writer: one reader may take the other's name out of the slot, and that one then leaves for
/// both. (The first thread that comes has the other slots.)
fn names_are_exchanged() {
    check(3, || {
        crate::park::my_slots();
        let lock = Lock::new(true);
        let (first, second, writer) = (lock.clone(), lock.clone(), lock.clone());
        let t = [
            thread::spawn(move || first.read(|_| ())),
            thread::spawn(move || second.read(|_| ())),
            thread::spawn(move || (writer.write(), 0).1),
        ];
        t.into_iter().for_each(|t| assert!(t.join().unwrap() <= 1));
        lock.readers.assert_free();
    });
}

#[test]
fn loom_two_readers_exchange_their_names() {
    names_are_exchanged();
}

#[test]
fn loom_a_reader_in_a_slot_and_a_writer() {
    reader_and_writer(Lock::write);
}

#[test]
fn loom_a_reader_in_a_slot_and_a_writer_that_tries() {
    reader_and_writer(Lock::try_write);
}

#[test]
fn loom_a_bias_begins_under_a_writers_eyes() {
    the_bias_begins();
}

#[test]
fn loom_two_readers_in_slots_and_a_writer() {
    two_readers();
}

#[test]
fn a_reader_that_is_not_seen_meets_the_writer() {
    let test = "models::loom_readers::a_reader_that_is_not_seen_meets_the_writer";
    fails(test, "readers: the reader's order", "Causality violation", || reader_and_writer(Lock::write));
}

#[test]
fn a_writer_that_is_not_seen_meets_the_reader() {
    let test = "models::loom_readers::a_writer_that_is_not_seen_meets_the_reader";
    fails(test, "readers: the writer's order", "Causality violation", || reader_and_writer(Lock::write));
}

#[test]
fn a_reader_that_trusts_the_bias_meets_the_writer() {
    let test = "models::loom_readers::a_reader_that_trusts_the_bias_meets_the_writer";
    fails(test, "readers: the reader looks again", "Causality violation", || reader_and_writer(Lock::write));
}

#[test]
fn a_writer_that_tries_meets_a_reader_that_trusts_the_bias() {
    let test = "models::loom_readers::a_writer_that_tries_meets_a_reader_that_trusts_the_bias";
    fails(test, "readers: the reader looks again", "Causality violation", || {
        reader_and_writer(Lock::try_write)
    });
}

#[test]
fn a_writer_that_ends_the_bias_once_meets_a_later_reader() {
    let test = "models::loom_readers::a_writer_that_ends_the_bias_once_meets_a_later_reader";
    fails(test, "readers: the writer looks again", "Causality violation", || the_bias_begins());
}

#[test]
fn who_takes_back_anothers_name_hands_on_what_that_one_has_done() {
    let test = "models::loom_readers::who_takes_back_anothers_name_hands_on_what_that_one_has_done";
    fails(test, "readers: hands on what another has done", "Causality violation", || names_are_exchanged());
}
