//! MULTI, EXEC, DISCARD, WATCH: commands that happen together.
//!
//! Between MULTI and EXEC commands are kept, not run. EXEC locks the shards of all their keys, and of those watched, and runs
//! them: nobody sees some of it done, and the log gets it in one piece (store.rs). What is wrong with a command's form shows
//! when it is queued, and EXEC then runs nothing; an error of a command that runs is its reply, and the others run, as in
//! Redis.
//!
//! WATCH notes the versions of its keys. EXEC finds another one, of a key that was changed, made or removed since: it runs
//! nothing, and says so with null.

use crate::commands::{Answer, Command, Refused, Run};
use crate::request::{Args, Owned};
use crate::session::Session;
use crate::store::{Keys, Store};
use std::mem::take;

/// What may be kept between MULTI and EXEC.
const MAX_QUEUED: usize = 256 << 20;

#[derive(Default)]
pub struct Tx {
    /// Some between MULTI and EXEC.
    queue: Option<Vec<(&'static Command, Owned)>>,
    bytes: usize,
    spoiled: bool,
    /// Requests to WATCH, with the versions of their keys.
    watched: Vec<(Owned, Vec<u64>)>,
}

impl Tx {
    pub fn is_open(&self) -> bool {
        self.queue.is_some()
    }

    /// A command was refused: EXEC will run nothing.
    pub fn spoil(&mut self) {
        self.spoiled |= self.is_open();
    }
}

/// Those that are about the transaction, or end the connection.
pub fn at_once(command: &Command) -> bool {
    matches!(command.name, "MULTI" | "EXEC" | "DISCARD" | "WATCH" | "QUIT")
}

pub fn queue(session: &mut Session, command: &'static Command, args: Args<'_>) -> Answer {
    let refused = match (command.run, session.check_log(command)) {
        (Run::Session(_), _) => {
            Some(Refused(format!("ERR {} is not allowed in a transaction", command.name).into()))
        }
        (_, Err(e)) => Some(e),
        _ => None,
    };
    let tx = &mut session.tx;
    if let Some(e) = refused {
        tx.spoil();
        return Err(e);
    }
    let owned = args.to_owned();
    tx.bytes += owned.bytes();
    if tx.bytes > MAX_QUEUED {
        tx.spoil();
        if let Some(queue) = &mut tx.queue {
            queue.clear();
        }
        return Err("ERR transaction too large".into());
    }
    if let Some(queue) = &mut tx.queue {
        queue.push((command, owned));
    }
    session.out.simple("QUEUED");
    Ok(())
}

pub fn multi(session: &mut Session, _: Args<'_>) -> Answer {
    if session.tx.is_open() {
        return Err("ERR MULTI calls can not be nested".into());
    }
    session.tx.queue = Some(Vec::new());
    session.out.ok();
    Ok(())
}

pub fn discard(session: &mut Session, _: Args<'_>) -> Answer {
    if !session.tx.is_open() {
        return Err("ERR DISCARD without MULTI".into());
    }
    session.tx = Tx::default();
    session.out.ok();
    Ok(())
}

pub fn watch(session: &mut Session, args: Args<'_>) -> Answer {
    if session.tx.is_open() {
        return Err("ERR WATCH inside MULTI is not allowed".into());
    }
    let versions =
        Store::with(&session.server, &[(Keys::Rest, args)], session.now, &mut session.delta, |db| {
            args.from(1).map(|key| db.version(key)).collect()
        });
    session.tx.watched.push((args.to_owned(), versions));
    session.out.ok();
    Ok(())
}

pub fn unwatch(session: &mut Session, _: Args<'_>) -> Answer {
    session.tx.watched.clear();
    session.out.ok();
    Ok(())
}

pub fn exec(session: &mut Session, _: Args<'_>) -> Answer {
    let Tx { queue, spoiled, watched, .. } = take(&mut session.tx);
    let Some(queue) = queue else {
        // Not a transaction that ends: what is watched stays so.
        session.tx.watched = watched;
        return Err("ERR EXEC without MULTI".into());
    };
    if spoiled {
        return Err("EXECABORT Transaction discarded because of previous errors.".into());
    }
    for (command, _) in &queue {
        session.check_log(command)?;
    }
    let mut locked: Vec<(Keys, Args<'_>)> = watched.iter().map(|(w, _)| (Keys::Rest, w.args())).collect();
    locked.extend(queue.iter().map(|(command, request)| match command.run {
        Run::Data(keys, _) => (keys, request.args()),
        Run::Session(_) => unreachable!("not queued"),
    }));
    let out = &mut session.out;
    Store::with(&session.server, &locked, session.now, &mut session.delta, |db| {
        let unchanged = |(w, versions): &(Owned, Vec<u64>)| {
            w.args().from(1).zip(versions).all(|(k, v)| db.version(k) == *v)
        };
        if !watched.iter().all(unchanged) {
            out.null_array();
            return;
        }
        out.array(queue.len());
        for (command, request) in &queue {
            let Run::Data(_, f) = command.run else { unreachable!("not queued") };
            let start = out.len();
            if let Err(Refused(message)) = f(db, request.args(), out) {
                out.truncate(start);
                out.error(&message);
            }
        }
    });
    Ok(())
}
