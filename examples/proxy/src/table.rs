//! The connections that are open, and what has become of those that were.

use crate::conn::{Conn, Traffic};
use crate::refusal::Refusal;
use gosched::sync::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Targets that are counted by name; a client could make up any number of them.
const TARGETS: usize = 1000;
/// The name that the others are counted under.
const OTHERS: &str = "others";

#[derive(Default)]
pub(crate) struct Table {
    open: Mutex<HashMap<u64, Arc<Conn>>>,
    accepted: AtomicU64,
    totals: Mutex<Totals>,
}

#[derive(Clone, Default)]
pub(crate) struct Totals {
    /// Tunnels that have ended.
    pub(crate) traffic: Traffic,
    pub(crate) tunnels: BTreeMap<&'static str, u64>,
    /// Those among them that did not end by themselves.
    pub(crate) cut: BTreeMap<&'static str, u64>,
    pub(crate) refused: BTreeMap<&'static str, u64>,
    pub(crate) targets: HashMap<String, Tally>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) tunnels: u64,
    pub(crate) traffic: Traffic,
}

impl Traffic {
    pub(crate) fn add(&mut self, other: Traffic) {
        self.up += other.up;
        self.down += other.down;
    }
}

impl Table {
    pub(crate) fn enter(self: &Arc<Table>, conn: Arc<Conn>) -> Entry {
        let number = self.accepted.fetch_add(1, Relaxed);
        self.open.lock().insert(number, conn.clone());
        Entry { table: self.clone(), number, conn }
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// All that are open now. (A copy: nobody waits for the table while one of them is looked at.)
    pub(crate) fn open(&self) -> Vec<Arc<Conn>> {
        self.open.lock().values().cloned().collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals.lock().clone()
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        *self.totals.lock().refused.entry(refusal.name()).or_default() += 1;
    }

    pub(crate) fn ended(
        &self,
        protocol: &'static str,
        to: &str,
        traffic: Traffic,
        cut: Option<&'static str>,
    ) {
        let mut totals = self.totals.lock();
        totals.traffic.add(traffic);
        *totals.tunnels.entry(protocol).or_default() += 1;
        if let Some(cut) = cut {
            *totals.cut.entry(cut).or_default() += 1;
        }
        let known = totals.targets.len() < TARGETS || totals.targets.contains_key(to);
        let target = totals.targets.entry(if known { to } else { OTHERS }.to_owned()).or_default();
        target.tunnels += 1;
        target.traffic.add(traffic);
    }
}

/// A connection's place in the table, until its goroutine has ended.
pub(crate) struct Entry {
    table: Arc<Table>,
    number: u64,
    pub(crate) conn: Arc<Conn>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.table.open.lock().remove(&self.number);
    }
}
