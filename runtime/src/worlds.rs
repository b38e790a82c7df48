//! Where worlds (world.rs) are kept: each is an M and a P that live for ever, and is used by one exploration after the other.
//!
//! Their Ps have numbers of their own, far above those of `allp`, so that a timer's id tells where the timer is.

use crate::m::M;
use crate::p::P;
use crate::world::World;
use parking_lot::Mutex;

/// The number of the first world's P.
pub(crate) const FIRST_P: u32 = 1 << 20;

/// All worlds there are, by the number of their P, and which of them are free.
struct Pool {
    all: Vec<&'static World>,
    free: Vec<&'static World>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { all: Vec::new(), free: Vec::new() });

/// A world that nobody uses.
pub(crate) fn take() -> &'static World {
    let mut pool = POOL.lock();
    if let Some(world) = pool.free.pop() {
        return world;
    }
    let m = M::new();
    m.set_id(u64::from(FIRST_P) + pool.all.len() as u64);
    let p = P::new(FIRST_P + pool.all.len() as u32);
    let world: &'static World = Box::leak(Box::new(World::new(m, p)));
    pool.all.push(world);
    world
}

pub(crate) fn give_back(world: &'static World) {
    POOL.lock().free.push(world);
}

/// The world whose M this is.
pub(crate) fn of_m(m: *mut ()) -> &'static World {
    let pool = POOL.lock();
    pool.all.iter().find(|w| w.m.raw() == m).expect("a world's goroutine has a world's M")
}

/// The P of a world.
pub(crate) fn p(id: u32) -> Option<&'static P> {
    let n = id.checked_sub(FIRST_P)?;
    POOL.lock().all.get(n as usize).map(|w| w.p)
}
