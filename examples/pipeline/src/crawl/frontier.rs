//! What to visit next, what has been seen, and what it all comes to: one goroutine, so there is no lock.

use super::Outcome;
use crate::stage::{In, Out, ended};
use gosched::chan::{Chan, select};
use gosched::context::{Context, ContextError};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fmt;
use url::Url;

/// What a visit has shown.
#[derive(Debug)]
pub struct Found {
    /// Where it was.
    pub url: Url,
    /// What was there.
    pub outcome: Outcome,
    /// Where it leads on this host, each once, without fragments. A redirect leads to its target.
    pub links: BTreeSet<Url>,
    /// How many different addresses elsewhere it names.
    pub elsewhere: usize,
}

/// What a crawl has found. It does not depend on who was faster, unless it was cut short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many pages there were.
    pub pages: usize,
    /// How many addresses only led on to others.
    pub redirects: usize,
    /// How many links there were on the pages to this host; the same one twice on a page counts once.
    pub links: usize,
    /// How many links led to other hosts.
    pub elsewhere: usize,
    /// The dead links: status, where they lead, and from where.
    pub dead: Vec<(u16, Url, Vec<Url>)>,
    /// How many addresses were not visited, because there were too many.
    pub unvisited: usize,
}

pub(super) struct Frontier {
    start: Url,
    waiting: VecDeque<Url>,
    seen: HashSet<Url>,
    left: usize,
    on_the_way: usize,
    /// Who links there; and what is known to be dead.
    linked_from: BTreeMap<Url, Vec<Url>>,
    dead: BTreeMap<Url, u16>,
    report: Report,
}

impl Frontier {
    pub fn new(start: Url, max_pages: usize) -> Frontier {
        let mut frontier = Frontier {
            start: start.clone(),
            waiting: VecDeque::new(),
            seen: HashSet::new(),
            left: max_pages,
            on_the_way: 0,
            linked_from: BTreeMap::new(),
            dead: BTreeMap::new(),
            report: Report::default(),
        };
        frontier.visit(start);
        frontier
    }

    /// Sends what is to be visited and takes in what was found, until there is nothing left.
    pub fn run(mut self, ctx: &Context, urls: Out<Url>, found: &In<Found>) -> Result<Report, ContextError> {
        let nil = Chan::nil().sender();
        while self.on_the_way > 0 || !self.waiting.is_empty() {
            // With nothing to send, the case is switched off: a nil channel is never ready. A case has a value even so.
            let (to, next) = match self.waiting.front() {
                Some(next) => (urls.sender(), next),
                None => (&nil, &self.start),
            };
            select! {
                send(to, next.clone()) => {
                    self.waiting.pop_front();
                    self.on_the_way += 1;
                }
                recv(found.receiver()) -> found => match found {
                    Some(found) => self.take_in(found),
                    None => break, // a stage has failed, and the Group knows with what
                },
                recv(ctx.done()) -> _ => return Err(ended(ctx)),
            }
        }
        Ok(self.into_report())
    }

    fn visit(&mut self, url: Url) {
        if !self.seen.insert(url.clone()) {
            return;
        }
        if self.left == 0 {
            self.report.unvisited += 1;
        } else {
            self.left -= 1;
            self.waiting.push_back(url);
        }
    }

    fn take_in(&mut self, found: Found) {
        self.on_the_way -= 1;
        match found.outcome {
            Outcome::Page | Outcome::Other => self.report.pages += 1,
            Outcome::Redirect => self.report.redirects += 1,
            Outcome::Dead(status) => drop(self.dead.insert(found.url.clone(), status)),
        }
        if found.outcome == Outcome::Page {
            self.report.links += found.links.len();
        }
        self.report.elsewhere += found.elsewhere;
        for to in found.links {
            self.linked_from.entry(to.clone()).or_default().push(found.url.clone());
            self.visit(to);
        }
    }

    fn into_report(mut self) -> Report {
        for (url, status) in self.dead {
            let mut from = self.linked_from.remove(&url).unwrap_or_default();
            from.sort();
            self.report.dead.push((status, url, from));
        }
        self.report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |url: &Url| url[url::Position::BeforePath..].to_owned();
        writeln!(f, "pages      {:6}", self.pages)?;
        writeln!(f, "redirects  {:6}", self.redirects)?;
        writeln!(f, "links      {:6}", self.links)?;
        writeln!(f, "elsewhere  {:6}", self.elsewhere)?;
        writeln!(f, "dead links {:6}", self.dead.iter().map(|(_, _, from)| from.len()).sum::<usize>())?;
        for (status, to, from) in &self.dead {
            let from: Vec<String> = from.iter().map(path).collect();
            writeln!(f, "  {status} {} <- {}", path(to), from.join(" "))?;
        }
        if self.unvisited > 0 {
            writeln!(f, "not visited: {} (--max-pages)", self.unvisited)?;
        }
        Ok(())
    }
}
