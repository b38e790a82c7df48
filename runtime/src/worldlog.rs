//! The schedule of a run of a world (world.rs), written down for people: a line for each thing that happened.

use crate::traceback::{Pcs, Symbols};

/// The lines, where they are wanted.
#[derive(Default)]
pub(crate) struct Log {
    wanted: bool,
    lines: Vec<String>,
    symbols: Option<Symbols>,
    /// Small numbers for the things that operations are done on.
    things: Vec<(&'static str, usize)>,
}

impl Log {
    pub(crate) fn new(wanted: bool) -> Log {
        Log { wanted, ..Log::default() }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    pub(crate) fn write(&mut self, line: impl FnOnce() -> String) {
        if self.wanted {
            let line = line();
            self.lines.push(line);
        }
    }

    /// The goroutine `goid` is about to do `what` with the thing at `on`, at a place among `pcs`.
    pub(crate) fn point(&mut self, goid: u64, what: &'static str, on: *const (), pcs: &Pcs) {
        let place = self.symbols.get_or_insert_with(Symbols::new).user_frame(pcs);
        let mut line = format!("goroutine {goid:<3} {what}");
        if !on.is_null() {
            line += &format!(" #{}", self.number(what.split(' ').next().unwrap_or(what), on.addr()));
        }
        if let Some(place) = place {
            line = format!("{line:<44} {place}");
        }
        self.lines.push(line);
    }

    /// The first thing that is met is number 1. What is freed may come again as something else, which `kind` tells apart.
    fn number(&mut self, kind: &'static str, addr: usize) -> usize {
        let same = |t: &(&str, usize)| *t == (kind, addr);
        let n = self.things.iter().position(same).unwrap_or_else(|| {
            self.things.push((kind, addr));
            self.things.len() - 1
        });
        n + 1
    }

    pub(crate) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}
