//! Commands about the connection and the server.

use crate::commands::{Answer, COMMANDS, Refused, Run, SYNTAX};
use crate::glob;
use crate::reply::Out;
use crate::request::{Args, integer};
use crate::session::Session;
use crate::store::{Db, Keys};
use std::fmt::Write;

pub fn ping(_: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    match args.len() {
        1 => out.simple("PONG"),
        2 => out.bulk(args.get(1)),
        _ => return Err("ERR wrong number of arguments for 'ping' command".into()),
    }
    Ok(())
}

pub fn echo(_: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    out.bulk(args.get(1));
    Ok(())
}

/// There is one database.
pub fn select(_: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    match integer(args.get(1)) {
        Some(0) => out.ok(),
        Some(_) => return Err("ERR DB index is out of range".into()),
        None => return Err("ERR invalid DB index".into()),
    }
    Ok(())
}

pub fn publish(db: &mut Db<'_>, args: Args<'_>, out: &mut Out) -> Answer {
    out.int(db.server.broker.publish(args.get(1), args.get(2)));
    Ok(())
}

/// HELLO [2|3] [SETNAME name]
pub fn hello(session: &mut Session, args: Args<'_>) -> Answer {
    let mut resp3 = session.out.resp3;
    if args.len() > 1 {
        resp3 = match args.get(1) {
            b"2" => false,
            b"3" => true,
            other if integer(other).is_none() => {
                return Err("ERR Protocol version is not an integer or out of range".into());
            }
            _ => return Err("NOPROTO unsupported protocol version".into()),
        };
        match args.len() {
            2 => {}
            4 if args.is(2, "SETNAME") => session.name = args.get(3).to_vec(),
            _ if args.is(2, "AUTH") => {
                return Err("ERR AUTH called without any password configured".into());
            }
            _ => return Err(SYNTAX.into()),
        }
    }
    session.set_resp3(resp3);
    let (id, out) = (session.id, &mut session.out);
    out.map(6);
    for (name, value) in [
        ("server", "redis"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("mode", "standalone"),
        ("role", "master"),
    ] {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"proto");
    out.int(if resp3 { 3 } else { 2 });
    out.bulk(b"id");
    out.int(id as i64);
    Ok(())
}

/// CLIENT ID, GETNAME, SETNAME, SETINFO: what client libraries say when they begin.
pub fn client(session: &mut Session, args: Args<'_>) -> Answer {
    if args.is(1, "ID") && args.len() == 2 {
        session.out.int(session.id as i64);
    } else if args.is(1, "GETNAME") && args.len() == 2 {
        session.out.bulk_or_null(Some(&session.name[..]).filter(|name| !name.is_empty()));
    } else if args.is(1, "SETNAME") && args.len() == 3 {
        session.name = args.get(2).to_vec();
        session.out.ok();
    } else if args.is(1, "SETINFO") && args.len() == 4 {
        session.out.ok();
    } else {
        return Err(unknown_subcommand(args));
    }
    Ok(())
}

fn unknown_subcommand(args: Args<'_>) -> Refused {
    let sub = &args.get(1)[..args.get(1).len().min(128)];
    Refused(format!("ERR unknown subcommand or wrong number of words: '{}'", sub.escape_ascii()).into())
}

/// COMMAND, COMMAND COUNT; COMMAND DOCS has none.
pub fn command(session: &mut Session, args: Args<'_>) -> Answer {
    let out = &mut session.out;
    if args.len() == 1 {
        out.array(COMMANDS.len());
        for command in COMMANDS {
            let (first, last, step) = match command.run {
                Run::Data(Keys::First, _) => (1, 1, 1),
                Run::Data(Keys::Rest, _) => (1, -1, 1),
                Run::Data(Keys::Pairs, _) => (1, -1, 2),
                _ => (0, 0, 0),
            };
            out.array(6);
            out.bulk(command.name.to_lowercase().as_bytes());
            out.int(command.arity.into());
            out.array(1);
            out.simple(if command.writes { "write" } else { "readonly" });
            [first, last, step].into_iter().for_each(|n| out.int(n));
        }
    } else if args.is(1, "COUNT") && args.len() == 2 {
        out.int(COMMANDS.len() as i64);
    } else if args.is(1, "DOCS") {
        out.map(0);
    } else {
        return Err(unknown_subcommand(args));
    }
    Ok(())
}

/// CONFIG GET pattern ...: what was said on the command line. There is no CONFIG SET.
pub fn config(session: &mut Session, args: Args<'_>) -> Answer {
    if !args.is(1, "GET") || args.len() < 3 {
        return Err(unknown_subcommand(args));
    }
    let config = &session.server.config;
    let port = session.server.addr.get().map_or(config.port, |a| a.port());
    let all = [
        ("bind", config.bind.clone()),
        ("port", port.to_string()),
        ("save", String::new()),
        ("appendonly", if config.log.is_some() { "yes" } else { "no" }.into()),
        ("appendfsync", config.fsync.name().into()),
        ("maxclients", config.max_clients.to_string()),
        ("timeout", config.timeout.map_or(0, |t| t.as_secs()).to_string()),
    ];
    let wanted = |name: &str| {
        args.from(2).any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let chosen: Vec<_> = all.iter().filter(|(name, _)| wanted(name)).collect();
    session.out.map(chosen.len());
    for (name, value) in chosen {
        session.out.bulk(name.as_bytes());
        session.out.bulk(value.as_bytes());
    }
    Ok(())
}

/// INFO: everything, whatever section is asked for.
pub fn info(session: &mut Session, _: Args<'_>) -> Answer {
    let server = &session.server;
    let (mut keys, mut volatile) = (0, 0);
    for i in 0..crate::store::SHARDS {
        let shard = server.store.lock_shard(i);
        keys += shard.len();
        volatile += shard.volatile();
    }
    let (channels, patterns) = server.broker.counts();
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        // A String takes everything.
        let _ = write!(text, "{name}:{value}\r\n");
    };
    line("# Server\r\ngosched_kv_version", &env!("CARGO_PKG_VERSION"));
    line("process_id", &std::process::id());
    line("tcp_port", &server.addr.get().map_or(0, |a| a.port()));
    line("uptime_in_seconds", &server.started.elapsed().as_secs());
    line("gomaxprocs", &gosched::gomaxprocs());
    line("goroutines", &gosched::num_goroutine());
    line("\r\n# Clients\r\nconnected_clients", &server.clients());
    line("maxclients", &server.config.max_clients);
    line("pubsub_channels", &channels);
    line("pubsub_patterns", &patterns);
    line("\r\n# Persistence\r\naof_enabled", &u8::from(server.log.get().is_some()));
    if let Some(log) = server.log.get() {
        let status = log.status();
        line("aof_current_size", &status.size);
        line("aof_base_size", &status.base);
        line("aof_rewrite_in_progress", &u8::from(status.rewriting));
        line("aof_rewrites", &status.rewrites);
        line("aof_fsyncs", &status.fsyncs);
        line("aof_last_write_status", &if log.check().is_ok() { "ok" } else { "err" });
    }
    line("\r\n# Stats", &"");
    server.stats.values().iter().for_each(|(name, value)| line(name, value));
    line("\r\n# Keyspace\r\ndb0", &format_args!("keys={keys},expires={volatile}"));
    let text = text.replace("# Stats:", "# Stats");
    session.out.bulk(text.as_bytes());
    Ok(())
}

pub fn rewrite(session: &mut Session, _: Args<'_>) -> Answer {
    let log = session.server.log.get().ok_or("ERR there is no log: see --appendonly")?;
    log.want_rewrite();
    session.out.simple("Background append only file rewriting started");
    Ok(())
}

pub fn quit(session: &mut Session, _: Args<'_>) -> Answer {
    session.out.ok();
    session.closing = true;
    Ok(())
}
