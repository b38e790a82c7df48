//! `tracing` spans that stay with their goroutine (feature `tracing`).
//!
//! tracing-subscriber's `Registry` knows the spans that are entered by the thread. A goroutine that parks in a span leaves it
//! entered on that thread, for whoever runs there next, and has none on the thread where it goes on. [`Registry`] here is that one
//! with another idea of "current":
//!
//! ```text
//!   fmt, filters, exporters …     layers: as ever
//!   ───────────────────────────
//!   Registry (this file)          enter, exit, current_span: the goroutine's own stack of spans (goroutine_local!)
//!     └ tracing_subscriber's      spans and their fields; always asked with the parent spelt out
//! ```
//! Nothing is done when a goroutine parks: the stack goes with it. So entering costs what it did, and a layer that measures how
//! long a span was entered counts the time that its goroutine was parked, as it counts a blocked thread's.
//!
//! A layer that keeps something by the thread itself, from `on_enter` to `on_exit`, is not helped by this.

use gosched_runtime::goroutine_local;
use std::any::TypeId;
use std::cell::RefCell;
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::subscriber::{Interest, Subscriber};
use tracing_core::{Event, LevelFilter, Metadata};
use tracing_subscriber::filter::FilterId;
use tracing_subscriber::registry::{LookupSpan, SpanData};

goroutine_local! {
    /// The spans that are entered, the outermost first.
    static ENTERED: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
}

/// The base of a `tracing` subscriber, to be used in place of [`tracing_subscriber::registry()`]: a span that is entered
/// belongs to its goroutine, wherever that runs, and to no other one. On a plain thread it belongs to that.
///
/// Events and new spans have the innermost of them as parent. A goroutine starts without any; take
/// [`Span::current`](https://docs.rs/tracing/latest/tracing/struct.Span.html#method.current) with it where it should have one.
/// To be installed for all threads (`init`, `set_global_default`): a default of one thread's is not a goroutine's. Layers must not
/// park: they may write to files and to std's streams.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let subscriber = gosched_debug::spans::Registry::default().with(tracing_subscriber::filter::LevelFilter::INFO);
/// tracing::subscriber::set_global_default(subscriber).unwrap();
/// # unsafe { gosched_runtime::run(|| {
/// let _span = tracing::info_span!("request", id = 7).entered();
/// gosched_runtime::yield_now(); // and perhaps on another thread
/// tracing::info!("still in the request");
/// # }) };
/// ```
#[derive(Debug, Default)]
pub struct Registry {
    spans: tracing_subscriber::Registry,
}

/// The innermost span that is entered. `None` as well where the goroutine is ending.
fn innermost() -> Option<Id> {
    ENTERED.try_with(|entered| entered.borrow().last().cloned()).ok().flatten()
}

impl Subscriber for Registry {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.spans.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.spans.enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.spans.max_level_hint()
    }

    fn new_span(&self, attrs: &Attributes<'_>) -> Id {
        match innermost().filter(|_| attrs.is_contextual()) {
            Some(parent) => {
                self.spans.new_span(&Attributes::child_of(parent, attrs.metadata(), attrs.values()))
            }
            None => self.spans.new_span(attrs),
        }
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.spans.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.spans.record_follows_from(span, follows);
    }

    fn event_enabled(&self, event: &Event<'_>) -> bool {
        self.spans.event_enabled(event)
    }

    fn event(&self, event: &Event<'_>) {
        self.spans.event(event);
    }

    fn enter(&self, span: &Id) {
        let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(span.clone()));
    }

    fn exit(&self, span: &Id) {
        let _ = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            // Guards may be dropped in another order than they were made.
            if let Some(i) = entered.iter().rposition(|s| s == span) {
                entered.remove(i);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.spans.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.spans.try_close(id)
    }

    fn current_span(&self) -> Current {
        let metadata = |id: Id| Some(Current::new(id.clone(), self.spans.span_data(&id)?.metadata()));
        innermost().and_then(metadata).unwrap_or_else(Current::none)
    }

    // SAFETY: (of the implementation) the pointer is to a value of the type asked for, inside of `self`.
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Registry>() {
            return Some(std::ptr::from_ref(self).cast());
        }
        // Layers ask for it when a span closes.
        // SAFETY: handed on.
        unsafe { self.spans.downcast_raw(id) }
    }
}

impl<'a> LookupSpan<'a> for Registry {
    type Data = tracing_subscriber::registry::Data<'a>;

    fn span_data(&'a self, id: &Id) -> Option<Self::Data> {
        self.spans.span_data(id)
    }

    fn register_filter(&mut self) -> FilterId {
        self.spans.register_filter()
    }
}
