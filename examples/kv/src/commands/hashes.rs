//! Hashes. One that becomes empty is gone.

use super::{Answer, NOT_AN_INTEGER, Refused};
use crate::reply::{Out, decimal};
use crate::request::{Args, integer};
use crate::shard::Value;
use crate::store::Db;
use std::collections::HashMap;

/// HSET key field value ...
pub fn hset(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    if args.len() % 2 == 1 {
        return Err(Refused("ERR wrong number of arguments for 'hset' command".into()));
    }
    let hash = db.get_or_insert(args.get(1), || Value::Hash(HashMap::new())).hash_mut()?;
    let mut new = 0;
    for i in (2..args.len()).step_by(2) {
        new += i64::from(hash.insert(args.get(i).to_vec(), args.get(i + 1).to_vec()).is_none());
    }
    db.log_request(args);
    out.int(new);
    Ok(())
}

pub fn hget(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let value = match db.get(args.get(1)) {
        None => None,
        Some(entry) => entry.hash()?.get(args.get(2)),
    };
    out.bulk_or_null(value.map(|v| v.as_slice()));
    Ok(())
}

pub fn hdel(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let Some(entry) = db.get_mut(args.get(1)) else {
        out.int(0);
        return Ok(());
    };
    let hash = entry.hash_mut()?;
    let gone = args.from(2).filter(|field| hash.remove(*field).is_some()).count();
    if hash.is_empty() {
        db.remove(args.get(1));
    }
    if gone > 0 {
        db.log_request(args);
    }
    out.int(gone as i64);
    Ok(())
}

pub fn hgetall(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let Some(entry) = db.get(args.get(1)) else {
        out.map(0);
        return Ok(());
    };
    let hash = entry.hash()?;
    out.map(hash.len());
    for (field, value) in hash {
        out.bulk(field);
        out.bulk(value);
    }
    Ok(())
}

pub fn hlen(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let len = match db.get(args.get(1)) {
        None => 0,
        Some(entry) => entry.hash()?.len(),
    };
    out.int(len as i64);
    Ok(())
}

/// HINCRBY key field by
pub fn hincrby(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let by = integer(args.get(3)).ok_or(NOT_AN_INTEGER)?;
    let field = match db.get(args.get(1)) {
        None => None,
        Some(entry) => entry.hash()?.get(args.get(2)),
    };
    let before = field.map_or(Some(0), |v| integer(v)).ok_or("ERR hash value is not an integer")?;
    let n = before.checked_add(by).ok_or("ERR increment or decrement would overflow")?;
    let hash = db.get_or_insert(args.get(1), || Value::Hash(HashMap::new())).hash_mut()?;
    let value = hash.entry(args.get(2).to_vec()).or_default();
    value.clear();
    decimal(value, n);
    db.log_request(args);
    out.int(n);
    Ok(())
}
