//! What both pipelines are made of: goroutines in stages, joined by channels, that end together.
//!
//! ```text
//!   stage ──Out<T>──► In<T> ──► stage ──Out<U>──► In<U> ──► …        one Group, one Context for all of them
//! ```
//! There are two ways to an end, and every wait of a stage is open to both:
//!
//! - **In order**, from the front: a stage has nothing more to send, its [`Out`] is dropped, and with the last one the channel
//!   is closed; the next stage finds the end in `recv`, and so on.
//! - **All at once**: a stage gives an error, or somebody outside has had enough. The context is done, each `send` and `recv`
//!   gives its error, and a stage leaves by `?`. The first error is what [`Pipeline::wait`] gives.
//!
//! A stage that fails drops its `Out` as well, so the one behind it may find an end that is none. What it makes of that is
//! nobody's: the results count only where `wait` gave no error.

use gosched::chan::{Chan, Receiver, Sender, select};
use gosched::context::{Context, ContextError};
use gosched::sync::Group;
use std::sync::Arc;

/// What ends a pipeline early: its context's error, or that of a stage.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Some stages, and what ends them all.
pub struct Pipeline {
    group: Group<Error>,
    ctx: Context,
}

impl Pipeline {
    /// No stages yet; all of them end when `parent` is done.
    pub fn new(parent: &Context) -> Pipeline {
        let (group, ctx) = Group::with_context(parent);
        Pipeline { group, ctx }
    }

    /// Done with the first error, or with the parent.
    pub fn ctx(&self) -> &Context {
        &self.ctx
    }

    /// The ends of a new channel between two stages.
    pub fn channel<T>(&self, cap: usize) -> (Out<T>, In<T>) {
        let channel = Chan::new(cap);
        let input = In { values: channel.receiver(), ctx: self.ctx.clone() };
        (Out { closes: Arc::new(Closes(channel.sender())), ctx: self.ctx.clone() }, input)
    }

    /// Starts `n` goroutines that do the same: each has a clone of `f`, and so of the channels' ends in it.
    pub fn stage<F>(&self, n: usize, f: F)
    where
        F: FnOnce() -> Result<(), Error> + Clone + Send + 'static,
    {
        for _ in 0..n {
            self.group.go(f.clone());
        }
    }

    /// Parks until all stages have ended.
    ///
    /// # Errors
    /// The first one of a stage.
    pub fn wait(self) -> Result<(), Error> {
        self.group.wait()
    }
}

/// The end that sends. The channel is closed when the last clone is dropped: the channels of gosched themselves are closed by
/// `close` alone.
pub struct Out<T> {
    closes: Arc<Closes<T>>,
    ctx: Context,
}

struct Closes<T>(Sender<T>);

impl<T> Drop for Closes<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        Out { closes: self.closes.clone(), ctx: self.ctx.clone() }
    }
}

impl<T> Out<T> {
    /// Parks until there is room for `value`.
    ///
    /// # Errors
    /// The pipeline ends.
    pub fn send(&self, value: T) -> Result<(), ContextError> {
        select! {
            send(self.sender(), value) => Ok(()),
            recv(self.ctx.done()) -> _ => Err(ended(&self.ctx)),
        }
    }

    /// For a `select!` of one's own.
    pub fn sender(&self) -> &Sender<T> {
        &self.closes.0
    }
}

/// The end that receives; each value goes to one of the clones.
pub struct In<T> {
    values: Receiver<T>,
    ctx: Context,
}

impl<T> Clone for In<T> {
    fn clone(&self) -> Self {
        In { values: self.values.clone(), ctx: self.ctx.clone() }
    }
}

impl<T> In<T> {
    /// Parks until there is a value, or none to come: `None`.
    ///
    /// # Errors
    /// The pipeline ends.
    pub fn recv(&self) -> Result<Option<T>, ContextError> {
        select! {
            recv(self.values) -> value => Ok(value),
            recv(self.ctx.done()) -> _ => Err(ended(&self.ctx)),
        }
    }

    /// For a `select!` of one's own, and for what is left when all have ended.
    pub fn receiver(&self) -> &Receiver<T> {
        &self.values
    }
}

/// The error of a context that is done.
pub fn ended(ctx: &Context) -> ContextError {
    ctx.err().expect("its channel is closed")
}
