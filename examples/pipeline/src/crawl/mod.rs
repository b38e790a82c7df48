//! The crawler: visits every page of one host that can be reached from a first one, and says which links are dead.
//!
//! ```text
//!          ┌──urls──► fetchers (n) ──pages──► parsers (m) ──found──┐
//!       frontier ◄─────────────────────────────────────────────────┘
//! ```
//! The channels form a ring, and a ring of bounded channels can get stuck: all full, everybody sends. Not this one: the
//! frontier sends only in a `select!` that receives as well, and what it cannot send yet it keeps.
//!
//! ## The end
//! In order: the frontier counts what is on its way. When that is nothing, and nothing waits, it drops its end, and the
//! stages end one after the other. All at once: a page that cannot be had (no connection, no HTTP, a 5xx) is an error of the
//! whole, since it is all one host; so are a timeout and ^C.
//!
//! A page that is not there is a dead link, no error.

mod fetch;
mod frontier;
mod links;

pub use fetch::{Fetched, Outcome};
pub use frontier::{Found, Report};

use crate::stage::{Error, Pipeline};
use frontier::Frontier;
use gosched::chan::Chan;
use gosched::context::Context;
use std::time::Duration;
use url::Url;

/// How to crawl.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// So many pages are asked for at the same time.
    pub fetchers: usize,
    /// So many are looked through at the same time.
    pub parsers: usize,
    /// How long a page may take.
    pub page_time: Duration,
    /// No more pages than that.
    pub max_pages: usize,
}

/// Crawls from `start` on. **Parks** until all is done.
///
/// # Errors
/// The first one of a page; `ctx` is done; `start` is no address that can be crawled.
pub fn crawl(ctx: &Context, start: &str, options: Options) -> Result<Report, Error> {
    let start = links::normal(Url::parse(start)?);
    if start.scheme() != "http" || !start.has_host() {
        return Err(format!("{start}: only http:// addresses can be crawled").into());
    }
    let pipeline = Pipeline::new(ctx);
    // Small: they smooth the way, what waits is the frontier's.
    let (urls, to_fetch) = pipeline.channel::<Url>(options.fetchers);
    let (pages, to_parse) = pipeline.channel::<Fetched>(options.parsers);
    let (found, findings) = pipeline.channel::<Found>(options.parsers);

    let ctx = pipeline.ctx().clone();
    pipeline.stage(options.fetchers, move || {
        while let Some(url) = to_fetch.recv()? {
            pages.send(fetch::fetch(&ctx, url, options.page_time)?)?;
        }
        Ok(())
    });
    pipeline.stage(options.parsers, move || {
        while let Some(page) = to_parse.recv()? {
            found.send(links::find(page))?;
        }
        Ok(())
    });
    let result = Chan::new(1);
    let (ctx, report) = (pipeline.ctx().clone(), result.sender());
    pipeline.stage(1, move || {
        report.send(Frontier::new(start, options.max_pages).run(&ctx, urls, &findings)?);
        Ok(())
    });
    pipeline.wait()?;
    Ok(result.recv().expect("the frontier ended without an error"))
}
