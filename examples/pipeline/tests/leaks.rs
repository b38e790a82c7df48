//! However a pipeline ends, none of its goroutines stays behind. One test: it counts all goroutines of the process.
#![cfg(target_os = "linux")]

mod common;

use common::{Dir, eventually, loopback, rt};
use gosched::context::{Context, ContextError};
use gosched::net::TcpListener;
use gosched::{debug, num_goroutine};
use gosched_example_pipeline::crawl::{self, Options, Report};
use gosched_example_pipeline::stage::Error;
use gosched_example_pipeline::web::Web;
use gosched_example_pipeline::wordcount;
use indicatif::ProgressBar;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const WEB: Web = Web { seed: 5, size: 40, broken: None, silent: None };
const OPTIONS: Options =
    Options { fetchers: 6, parsers: 3, page_time: Duration::from_secs(60), max_pages: usize::MAX };

/// Serves a web for as long as `f` takes.
fn with<T>(web: Web, f: impl FnOnce(&str) -> T) -> T {
    let listener = TcpListener::bind(loopback()).unwrap();
    let start = format!("http://{}{}", listener.local_addr().unwrap(), Web::path(0));
    let (ctx, stop) = Context::background().with_cancel();
    gosched::scope(|s| {
        let server = s.spawn(|| web.serve(&ctx, listener));
        let result = f(&start);
        stop.cancel();
        server.join().unwrap().unwrap();
        result
    })
}

/// All have ended.
#[track_caller]
fn nobody_left(what: &str) {
    eventually(what, || num_goroutine() == 1);
    debug::assert_no_leaks();
}

/// What there is to find, from the links as they are written.
fn expected(web: Web) -> (usize, usize, usize, BTreeMap<String, Vec<String>>) {
    let (mut links, mut elsewhere) = (0, 0);
    let (mut moved, mut dead) = (BTreeSet::new(), BTreeMap::<_, Vec<_>>::new());
    for i in 0..web.size {
        let mut here = BTreeSet::new();
        let mut out = BTreeSet::new();
        for link in web.links(i) {
            let digits = link.trim_matches(|c: char| !c.is_ascii_digit());
            if link.starts_with("https:") {
                out.insert(link.clone());
            } else if link.contains("moved") {
                moved.insert(digits.to_owned());
                here.insert(format!("/moved/{digits}"));
            } else if !link.starts_with("mailto:") {
                here.insert(format!("/{}/{digits}", if link.contains("gone") { "gone" } else { "p" }));
            }
        }
        links += here.len();
        elsewhere += out.len();
        for to in here.into_iter().filter(|to| to.starts_with("/gone/")) {
            dead.entry(to).or_default().push(Web::path(i));
        }
    }
    dead.values_mut().for_each(|from| from.sort());
    (moved.len(), links, elsewhere, dead)
}

fn error(result: Result<Report, Error>) -> String {
    result.expect_err("it fails").to_string()
}

fn crawls() {
    let background = Context::background();
    for (fetchers, parsers) in [(1, 1), (6, 3), (50, 1), (1, 20)] {
        let report =
            with(WEB, |start| crawl::crawl(&background, start, Options { fetchers, parsers, ..OPTIONS }))
                .unwrap();
        let path = |u: &url::Url| u.path().to_owned();
        let dead: BTreeMap<_, Vec<_>> =
            report.dead.iter().map(|(_, to, from)| (path(to), from.iter().map(path).collect())).collect();
        assert_eq!((report.pages, report.unvisited), (WEB.size as usize, 0));
        assert_eq!((report.redirects, report.links, report.elsewhere, dead), expected(WEB));
        nobody_left("a crawl to its end");
    }
    let few =
        with(WEB, |start| crawl::crawl(&background, start, Options { max_pages: 10, ..OPTIONS })).unwrap();
    assert!(few.pages + few.redirects <= 10 && few.unvisited > 0, "{few:?}");
    nobody_left("a crawl that was cut short");

    let broken = Web { broken: Some(30), ..WEB };
    let e = error(with(broken, |start| crawl::crawl(&background, start, OPTIONS)));
    assert!(e.contains("/p/30: invalid HTTP"), "{e}");
    nobody_left("a broken page");

    let silent = Web { silent: Some(9), ..WEB };
    let quick = Options { page_time: Duration::from_millis(30), ..OPTIONS };
    let e = error(with(silent, |start| crawl::crawl(&background, start, quick)));
    assert!(e.contains("no answer within 30ms"), "{e}");
    nobody_left("a silent page");

    let (ctx, _cancel) = background.with_timeout(Duration::from_millis(30));
    let e = with(silent, |start| crawl::crawl(&ctx, start, OPTIONS)).unwrap_err();
    assert_eq!(e.downcast_ref(), Some(&ContextError::DeadlineExceeded), "{e}");
    nobody_left("a timeout");

    let listener = TcpListener::bind(loopback()).unwrap();
    let refused = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let e = error(crawl::crawl(&background, &refused, OPTIONS));
    assert!(e.contains("Connection refused"), "{e}");
    nobody_left("nobody there");
}

/// Cancelled at all sorts of moments: either it was done before, or it says so.
fn cancelled<T>(what: &str, run: impl Fn(&Context) -> Result<T, Error>) {
    let mut ended_early = 0;
    for yields in (0..60).map(|n| n * n) {
        let (ctx, cancel) = Context::background().with_cancel();
        gosched::go!({
            for _ in 0..yields {
                gosched::yield_now();
            }
            cancel.cancel();
        });
        match run(&ctx) {
            Ok(_) => {}
            Err(e) => {
                assert_eq!(e.downcast_ref(), Some(&ContextError::Canceled), "{e}");
                ended_early += 1;
            }
        }
        nobody_left(what);
    }
    assert!(ended_early > 0, "{what}: the cancelling came too late each time");
}

#[test]
fn no_stage_is_left_behind() {
    let dir = Dir::new();
    for i in 0..20 {
        dir.file(&format!("{i}"), format!("word{i} ").repeat(2_000));
    }
    let options = wordcount::Options {
        paths: vec![dir.0.clone()],
        follow: false,
        fold: false,
        top: 3,
        mappers: 4,
        reducers: 3,
    };
    rt(move || {
        crawls();
        cancelled("a crawl that was cancelled", |ctx| with(WEB, |start| crawl::crawl(ctx, start, OPTIONS)));
        let count = |ctx: &Context, options: &wordcount::Options| {
            wordcount::count(ctx, options.clone(), &ProgressBar::hidden())
        };
        let counts = count(&Context::background(), &options).unwrap();
        assert_eq!(
            (counts.files, counts.problems, counts.all.words, counts.all.different),
            (20, 0, 40_000, 20)
        );
        nobody_left("a count to its end");
        let missing =
            wordcount::Options { paths: vec![dir.0.join("7"), dir.0.join("none")], ..options.clone() };
        let counts = count(&Context::background(), &missing).unwrap();
        assert_eq!((counts.files, counts.problems, counts.all.words), (1, 1, 2_000));
        nobody_left("a file that is missing");
        cancelled("a count that was cancelled", |ctx| count(ctx, &options));
    });
}
