//! Spans of `tracing` go with their goroutine: through parks, to other threads, and to nobody else.

use gosched_debug::spans::Registry;
use gosched_runtime::sync::{Barrier, Semaphore};
use gosched_runtime::{run, set_gomaxprocs, spawn, yield_now};
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::thread;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber, info, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// What was said: the message, the names of the spans around it, and the thread.
type Line = (String, Vec<String>, thread::ThreadId);

static SAID: Mutex<Vec<Line>> = Mutex::new(Vec::new());
static CLOSED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The value of the field `who` of a span, or the message of an event.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        self.0 = format!("{value:?}");
    }
}

struct Listens;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listens {
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut who = Text(String::new());
        attrs.record(&mut who);
        ctx.span(id).unwrap().extensions_mut().insert(who);
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut what = Text(String::new());
        event.record(&mut what);
        let scope = ctx.event_scope(event).into_iter().flat_map(|scope| scope.from_root());
        let around = scope.map(|s| s.extensions().get::<Text>().unwrap().0.clone()).collect();
        SAID.lock().unwrap().push((what.0, around, thread::current().id()));
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let who = ctx.span(&id).unwrap().extensions().get::<Text>().unwrap().0.clone();
        CLOSED.lock().unwrap().push(who);
    }
}

fn said(what: &str) -> Vec<(Vec<String>, thread::ThreadId)> {
    let all = SAID.lock().unwrap();
    all.iter().filter(|l| l.0 == what).map(|l| (l.1.clone(), l.2)).collect()
}

#[test]
fn spans_stay_with_their_goroutines() {
    const N: usize = 8;
    tracing::subscriber::set_global_default(Registry::default().with(Listens)).unwrap();
    // SAFETY: no goroutine of this test holds a borrow of a thread-local across a park.
    unsafe {
        run(|| {
            set_gomaxprocs(2);
            // All of them are in their spans at once, and park there.
            let all = Arc::new(Barrier::new(N));
            let gate = Arc::new(Semaphore::new(0));
            let workers: Vec<_> = (0..N)
                .map(|n| {
                    let (all, gate) = (all.clone(), gate.clone());
                    spawn(move || {
                        info!("outside");
                        let outer = info_span!("outer", who = n).entered();
                        all.wait();
                        for _ in 0..100 {
                            yield_now();
                            let _inner = info_span!("inner", who = n + 100).entered();
                            drop(gate.acquire());
                            info!("inside");
                        }
                        drop(outer);
                        all.wait();
                        info!("outside");
                    })
                })
                .collect();
            info!("main");
            gate.add_permits(3);
            workers.into_iter().for_each(|w| w.join().unwrap());
            info!("main");
        });
    }
    let inside = said("inside");
    for n in 0..N {
        let scope = [n.to_string(), (n + 100).to_string()];
        assert_eq!(inside.iter().filter(|l| l.0 == scope).count(), 100, "{scope:?}");
    }
    assert_eq!(inside.len(), 100 * N);
    for what in ["outside", "main"] {
        assert!(said(what).iter().all(|l| l.0.is_empty()), "{what}: {:?}", said(what));
    }
    assert_eq!((said("outside").len(), said("main").len()), (2 * N, 2));
    // Every span is closed, though it was left on another thread than it was entered on.
    let closed = CLOSED.lock().unwrap();
    assert_eq!(closed.len(), 101 * N);
    assert_eq!(closed.iter().collect::<HashSet<_>>().len(), 2 * N);
    drop(closed);

    // A plain thread has its own.
    let there = info_span!("outer", who = 1000).entered();
    thread::spawn(|| info!("on a thread")).join().unwrap();
    info!("here");
    drop(there);
    assert!(said("on a thread")[0].0.is_empty());
    assert_eq!(said("here")[0].0, ["1000"]);
}
