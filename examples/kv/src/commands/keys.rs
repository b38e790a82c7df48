//! What goes with keys of any type: whether they are there, and for how long.

use super::{Answer, NOT_AN_INTEGER, Refused};
use crate::reply::Out;
use crate::request::{Args, integer};
use crate::shard::{NEVER, Value};
use crate::store::Db;

pub fn del(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let mut gone = 0;
    for key in args.from(1) {
        if db.remove(key) {
            db.log(key, &[b"DEL", key]);
            gone += 1;
        }
    }
    out.int(gone);
    Ok(())
}

pub fn exists(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    out.int(args.from(1).filter(|key| db.get(key).is_some()).count() as i64);
    Ok(())
}

pub fn kind(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    out.simple(match db.get(args.get(1)).map(|e| &e.value) {
        None => "none",
        Some(Value::Str(_)) => "string",
        Some(Value::List(_)) => "list",
        Some(Value::Hash(_)) => "hash",
    });
    Ok(())
}

/// The moment that `n` means after EX, PX, EXAT or PXAT, unless it lies beyond all reckoning. What is past is 1: at 0,
/// which is the time of a replay, nothing is due.
pub fn deadline(unit: &str, n: i64, now: u64) -> Option<u64> {
    let ms = if unit.starts_with('E') { n.checked_mul(1_000)? } else { n };
    let at = if unit.ends_with("AT") { ms } else { ms.checked_add(now as i64)? };
    Some(at.max(1) as u64)
}

/// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT key n
pub fn expire(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let key = args.get(1);
    let n = integer(args.get(2)).ok_or(NOT_AN_INTEGER)?;
    let unit = match (matches!(args.get(0)[0], b'P' | b'p'), args.get(0).len() > 7) {
        (false, false) => "EX",
        (true, false) => "PX",
        (false, true) => "EXAT",
        (true, true) => "PXAT",
    };
    let at = deadline(unit, n, db.now).ok_or_else(|| Refused("ERR invalid expire time".into()))?;
    if db.get(key).is_none() {
        out.int(0);
        return Ok(());
    }
    db.set_expiry(key, at);
    db.log(key, &[b"PEXPIREAT", key, at.to_string().as_bytes()]);
    out.int(1);
    Ok(())
}

/// TTL, PTTL: -2 no such key, -1 for ever. Seconds are rounded, as Redis does it.
pub fn ttl(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let now = db.now;
    out.int(match db.get(args.get(1)).map(|e| e.expires()) {
        None => -2,
        Some(NEVER) => -1,
        Some(at) if matches!(args.get(0)[0], b'P' | b'p') => (at - now) as i64,
        Some(at) => ((at - now + 500) / 1_000) as i64,
    });
    Ok(())
}

pub fn persist(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let key = args.get(1);
    let had = db.get(key).is_some_and(|e| e.expires() != NEVER);
    if had {
        db.set_expiry(key, NEVER);
        db.log_request(args);
    }
    out.int(i64::from(had));
    Ok(())
}

/// Those that are due and that nobody has looked at yet are counted, as in Redis.
pub fn dbsize(db: &mut Db<'_>, _: Args<'_>, out: &mut Out) -> Answer {
    out.int(db.shards().map(|shard| shard.len()).sum::<usize>() as i64);
    Ok(())
}

/// FLUSHALL [SYNC|ASYNC]
pub fn flushall(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    if args.len() > 2 || args.len() == 2 && !args.is(1, "SYNC") && !args.is(1, "ASYNC") {
        return Err(super::SYNTAX.into());
    }
    db.shards().for_each(|shard| shard.clear());
    db.log_for_all(b"FLUSHALL");
    out.ok();
    Ok(())
}
