//! GET, SET and what else goes with strings; numbers are strings of digits.

use super::{Answer, NOT_AN_INTEGER, Refused, SYNTAX};
use crate::commands::keys::deadline;
use crate::reply::{Out, decimal};
use crate::request::{Args, MAX_BULK, integer};
use crate::shard::{NEVER, Value};
use crate::store::Db;

pub fn get(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    match db.get(args.get(1)) {
        None => out.null(),
        Some(entry) => out.bulk(entry.str()?),
    }
    Ok(())
}

pub fn mget(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    out.array(args.len() - 1);
    for key in args.from(1) {
        // What is no string counts as not there.
        out.bulk_or_null(db.get(key).and_then(|e| e.str().ok()).map(|s| s.as_slice()));
    }
    Ok(())
}

/// `SET key value [NX|XX] [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL]`
pub fn set(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let (key, value) = (args.get(1), args.get(2));
    if args.len() == 3 {
        db.set(key, value, NEVER);
        db.log(key, &[b"SET", key, value]);
        out.ok();
        return Ok(());
    }
    let (mut expires, mut keep, mut only_new, mut only_old, mut give_old) =
        (None, false, false, false, false);
    let mut i = 3;
    while i < args.len() {
        let unit = ["EX", "PX", "EXAT", "PXAT"].into_iter().find(|unit| args.is(i, unit));
        if let Some(unit) = unit {
            if expires.is_some() || i + 1 == args.len() {
                return Err(SYNTAX.into());
            }
            i += 1;
            let n = integer(args.get(i)).ok_or(NOT_AN_INTEGER)?;
            let at = deadline(unit, n, db.now).filter(|_| n > 0);
            expires = Some(at.ok_or("ERR invalid expire time in 'set' command")?);
        } else {
            let flags = [
                ("KEEPTTL", &mut keep),
                ("NX", &mut only_new),
                ("XX", &mut only_old),
                ("GET", &mut give_old),
            ];
            let Some((_, flag)) = flags.into_iter().find(|(name, _)| args.is(i, name)) else {
                return Err(SYNTAX.into());
            };
            *flag = true;
        }
        i += 1;
    }
    if only_new && only_old || keep && expires.is_some() {
        return Err(SYNTAX.into());
    }
    let old = db.get(key);
    let there = old.is_some();
    let old_expires = old.map_or(NEVER, |e| e.expires());
    if give_old {
        out.bulk_or_null(match old {
            Some(entry) => Some(entry.str()?),
            None => None,
        });
    }
    if only_new && there || only_old && !there {
        if !give_old {
            out.null();
        }
        return Ok(());
    }
    let expires = expires.unwrap_or(if keep { old_expires } else { NEVER });
    db.set(key, value, expires);
    if expires == NEVER {
        db.log(key, &[b"SET", key, value]);
    } else {
        db.log(key, &[b"SET", key, value, b"PXAT", expires.to_string().as_bytes()]);
    }
    if !give_old {
        out.ok();
    }
    Ok(())
}

pub fn mset(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    for i in (1..args.len()).step_by(2) {
        let (key, value) = (args.get(i), args.get(i + 1));
        db.set(key, value, NEVER);
        db.log(key, &[b"SET", key, value]);
    }
    out.ok();
    Ok(())
}

/// INCR, DECR, INCRBY, DECRBY.
pub fn incr(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let by = if args.len() == 2 { 1 } else { integer(args.get(2)).ok_or(NOT_AN_INTEGER)? };
    let down = matches!(args.get(0)[0], b'D' | b'd');
    let by = if down { by.checked_neg().ok_or("ERR decrement would overflow")? } else { by };
    let before = match db.get(args.get(1)) {
        None => 0,
        Some(entry) => integer(entry.str()?).ok_or(NOT_AN_INTEGER)?,
    };
    let n = before.checked_add(by).ok_or("ERR increment or decrement would overflow")?;
    let value = db.get_or_insert(args.get(1), || Value::Str(Vec::new())).str_mut()?;
    value.clear();
    decimal(value, n);
    db.log_request(args);
    out.int(n);
    Ok(())
}

pub fn append(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let len = match db.get(args.get(1)) {
        None => 0,
        Some(entry) => entry.str()?.len(),
    } + args.get(2).len();
    if len > MAX_BULK {
        return Err(Refused("ERR string exceeds maximum allowed size".into()));
    }
    let value = db.get_or_insert(args.get(1), || Value::Str(Vec::new())).str_mut()?;
    value.extend_from_slice(args.get(2));
    db.log_request(args);
    out.int(len as i64);
    Ok(())
}

pub fn strlen(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    let len = match db.get(args.get(1)) {
        None => 0,
        Some(entry) => entry.str()?.len(),
    };
    out.int(len as i64);
    Ok(())
}
