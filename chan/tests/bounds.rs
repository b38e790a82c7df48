//! What the handles promise to the type system, for every `T`.
use gosched_chan::*;
use std::cell::Cell;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::time::Duration;

fn send_sync<T: Send + Sync>() {}
fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}

/// True where `$t: $bound`: an inherent constant is preferred to a trait's.
macro_rules! implements {
    ($t:ty: $bound:ident) => {{
        #[allow(dead_code)]
        trait Not {
            const IS: bool = false;
        }
        impl<T: ?Sized> Not for T {}
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code)]
        impl<T: ?Sized + $bound> Probe<T> {
            const IS: bool = true;
        }
        <Probe<$t>>::IS
    }};
}

#[test]
fn handles_go_where_their_values_may_go() {
    send_sync::<Chan<Cell<u8>>>();
    send_sync::<Sender<Box<dyn Send>>>();
    send_sync::<Receiver<Cell<u8>>>();
    send_sync::<IntoIter<Cell<u8>>>();
    send_sync::<TimerChan>();
    assert!(implements!(Chan<u8>: Send) && implements!(Chan<u8>: Sync), "the probe works");
    assert!(!implements!(Chan<Rc<u8>>: Send) && !implements!(Chan<Rc<u8>>: Sync));
    assert!(!implements!(Sender<Rc<u8>>: Send) && !implements!(Receiver<Rc<u8>>: Send));
    assert!(!implements!(Receiver<Rc<u8>>: Sync) && !implements!(IntoIter<Rc<u8>>: Send));
    assert!(!implements!(Select<'static>: Send) && !implements!(SelectedOperation<'static>: Send));
}

#[test]
fn handles_are_unwind_safe() {
    unwind_safe::<Chan<Cell<u8>>>();
    unwind_safe::<Sender<Rc<Cell<u8>>>>();
    unwind_safe::<Receiver<&mut u8>>();
}

#[test]
fn a_channel_of_values_that_stay_on_their_thread() {
    let c = Chan::new(1);
    c.send(Rc::new(1));
    assert_eq!(select! { recv(c) -> v => v.map(|v| *v), default => None }, Some(1));
}

#[test]
fn errors_ask_nothing_of_the_value() {
    struct Plain;
    let c = Chan::new(0);
    let shown = format!(
        "{:?} {:?}",
        c.try_send(Plain).unwrap_err(),
        c.send_timeout(Plain, Duration::ZERO).unwrap_err()
    );
    c.close();
    let e = c.send_checked(Plain).unwrap_err();
    assert_eq!((shown.as_str(), format!("{e:?}")), ("Full(..) Timeout(..)", "SendError(..)".to_string()));
    assert_eq!(TrySendError::from(e).to_string(), "send on closed channel");
    assert_eq!(TryRecvError::Empty.to_string(), "receive on empty channel");
}
