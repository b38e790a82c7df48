//! Values that are counted: each must be dropped exactly once, whichever way it goes.

use super::history::Val;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// How often each value was made and dropped.
pub struct Table(Vec<(AtomicU8, AtomicU8)>);

impl Table {
    pub fn new(values: usize) -> Arc<Table> {
        Arc::new(Table((0..values).map(|_| Default::default()).collect()))
    }

    pub fn make(self: &Arc<Table>, id: Val) -> Value {
        self.0[usize::from(id)].0.fetch_add(1, Ordering::Relaxed);
        Value { id, table: Some(self.clone()), words: words(id) }
    }

    /// When all handles of all channels are gone: what was not dropped once. Who asks has joined all who dropped.
    pub fn wrong(&self) -> Vec<String> {
        let all = self.0.iter().enumerate();
        all.map(|(id, n)| (id, n.0.load(Ordering::Relaxed), n.1.load(Ordering::Relaxed)))
            .filter(|&(_, made, dropped)| made != dropped)
            .map(|(id, made, dropped)| format!("v{id} was made {made} times and dropped {dropped} times"))
            .collect()
    }
}

/// Big enough to be torn.
pub struct Value {
    id: Val,
    table: Option<Arc<Table>>,
    words: [u64; 4],
}

fn words(id: Val) -> [u64; 4] {
    [1, 17, 33, 49].map(|k| (u64::from(id) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(k))
}

impl Value {
    /// One that is not counted, for a case that is never chosen.
    pub fn none() -> Value {
        Value { id: Val::MAX, table: None, words: words(Val::MAX) }
    }

    pub fn id(&self) -> Val {
        assert_eq!(self.words, words(self.id), "v{} has come to harm on its way", self.id);
        self.id
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.id();
        if let Some(table) = &self.table {
            table.0[usize::from(self.id)].1.fetch_add(1, Ordering::Relaxed);
        }
    }
}
