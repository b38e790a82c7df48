//! Lists. One that becomes empty is gone.

use super::{Answer, NOT_AN_INTEGER};
use crate::reply::Out;
use crate::request::{Args, integer};
use crate::shard::Value;
use crate::store::Db;
use std::collections::VecDeque;

/// Whether the command's name says left.
fn left(args: Args<'_>) -> bool {
    matches!(args.get(0)[0], b'L' | b'l')
}

/// LPUSH, RPUSH key value ...
pub fn push(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let list = db.get_or_insert(args.get(1), || Value::List(VecDeque::new())).list_mut()?;
    for value in args.from(2) {
        if left(args) {
            list.push_front(value.to_vec());
        } else {
            list.push_back(value.to_vec());
        }
    }
    out.int(list.len() as i64);
    db.log_request(args);
    Ok(())
}

/// `LPOP`, `RPOP key [count]`
pub fn pop(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let count = match args.len() {
        2 => None,
        3 => {
            let n = integer(args.get(2)).and_then(|n| usize::try_from(n).ok());
            Some(n.ok_or("ERR value is out of range, must be positive")?)
        }
        _ => return Err("ERR wrong number of arguments for 'pop' command".into()),
    };
    let Some(entry) = db.get_mut(args.get(1)) else {
        if count.is_some() {
            out.null_array()
        } else {
            out.null()
        }
        return Ok(());
    };
    let list = entry.list_mut()?;
    let n = count.unwrap_or(1).min(list.len());
    if count.is_some() {
        out.array(n);
    }
    for _ in 0..n {
        let value = if left(args) { list.pop_front() } else { list.pop_back() };
        out.bulk(&value.expect("no more than there are"));
    }
    let empty = list.is_empty();
    if empty {
        db.remove(args.get(1));
    }
    if n > 0 {
        db.log_request(args);
    }
    Ok(())
}

pub fn llen(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let len = match db.get(args.get(1)) {
        None => 0,
        Some(entry) => entry.list()?.len(),
    };
    out.int(len as i64);
    Ok(())
}

/// LRANGE key start stop: both included, negative ones count from the end.
pub fn lrange(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let start = integer(args.get(2)).ok_or(NOT_AN_INTEGER)?;
    let stop = integer(args.get(3)).ok_or(NOT_AN_INTEGER)?;
    let Some(entry) = db.get(args.get(1)) else {
        out.array(0);
        return Ok(());
    };
    let list = entry.list()?;
    let len = list.len() as i64;
    let place = |i: i64| if i < 0 { i.saturating_add(len) } else { i };
    let (start, end) = (place(start).max(0), place(stop).saturating_add(1).min(len));
    if start >= end {
        out.array(0);
        return Ok(());
    }
    out.array((end - start) as usize);
    list.range(start as usize..end as usize).for_each(|value| out.bulk(value));
    Ok(())
}
