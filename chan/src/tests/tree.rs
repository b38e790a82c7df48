//! What a node of the tree of contexts holds on to, seen from inside.

use super::*;

fn node(parent: &Arc<Cancel>) -> Arc<Cancel> {
    Cancel::new(&Ctx::Cancel(parent.clone()), None)
}

#[test]
fn children_leave_their_parent_when_they_are_cancelled_or_dropped() {
    let root = Cancel::new(&Ctx::Background, None);
    let through = Ctx::Cancel(root.clone()).with_value(Box::new(1));
    let mut kept = Vec::new();
    for i in 0..1000 {
        let child = Cancel::new(&through, None);
        if i % 2 == 0 {
            child.cancel(ContextError::Canceled, None);
            kept.push(child);
        }
    }
    assert_eq!(root.owes(), (0, 0));
    let alive = node(&root);
    assert_eq!(root.owes(), (1, 0));
    root.cancel(ContextError::Canceled, None);
    assert_eq!((root.owes(), alive.err()), ((0, 0), Some(ContextError::Canceled)));
    assert_eq!(node(&root).err(), Some(ContextError::Canceled));
    assert_eq!(root.owes(), (0, 0));
}

#[test]
fn a_function_that_is_taken_back_leaves_nothing() {
    let root = Cancel::new(&Ctx::Background, None);
    for _ in 0..1000 {
        let pending = root.after_func(|| ());
        assert_eq!(root.owes(), (1, 0));
        assert!(pending.stop() && !pending.stop());
    }
    assert_eq!(root.owes(), (0, 0));
}

#[test]
fn only_heirs_that_are_awaited_are_kept() {
    let root = Cancel::new(&Ctx::Background, None);
    drop(node(&root).done());
    assert_eq!(root.owes(), (0, 0), "nobody waits");
    let mut waiting = Vec::new();
    for i in 0..10_000 {
        let (outer, done) = {
            let outer = node(&root);
            let inner = node(&outer);
            (outer, inner.done())
        };
        assert_eq!(outer.owes(), (0, 1));
        drop(outer);
        assert_eq!(root.owes().0, 0);
        if i % 100 == 0 {
            waiting.push(done);
        }
    }
    let heirs = root.owes().1;
    assert!((100..=2 * 100 + 17).contains(&heirs), "{heirs} heirs");
    assert!(waiting.iter().all(|d| !d.is_closed()));
    root.cancel(ContextError::Canceled, None);
    assert!(waiting.iter().all(|d| d.is_closed()));
}

#[test]
fn heirs_of_a_root_are_dropped() {
    let root = Cancel::new(&Ctx::Background, None);
    let (done, held) = (root.done(), Arc::new(()));
    let theirs = held.clone();
    let pending = root.after_func(move || drop(theirs));
    drop(root);
    assert!(!done.is_closed());
    assert!(pending.stop());
    assert_eq!(Arc::strong_count(&held), 1);
}
