//! What the commands answer: the same as a real redis-server.

use crate::process::{Client, Dir, Kv, Reply, bulk, eventually};
use crate::programs::{Killed, Rng, loopback, tool};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

struct Real(#[expect(dead_code)] Killed, SocketAddr);

impl Real {
    fn start(dir: &Dir) -> Option<Real> {
        let program = tool("redis-server")?;
        let addr = TcpListener::bind(loopback()).and_then(|l| l.local_addr()).unwrap();
        let child = Command::new(program)
            .args(["--port", &addr.port().to_string(), "--bind", &addr.ip().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .current_dir(&dir.0)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("redis-server listens", || TcpStream::connect(addr).is_ok());
        Some(Real(Killed(child), addr))
    }
}

/// Without what may differ: how much time is left, the order of a hash, and the words of an error after its code.
fn normal(command: &str, reply: Reply) -> Reply {
    match reply {
        // The two servers are not asked at the same moment.
        Reply::Int(n @ 1..) if command.contains("TTL ") => Reply::Int(n.min(1)),
        Reply::Error(e) => Reply::Error(e.split(' ').next().unwrap_or_default().into()),
        Reply::Array(all) | Reply::Map(all) if command.starts_with("HGETALL") => {
            let mut pairs: Vec<_> = all.chunks(2).map(|p| (p[0].text(), p[1].text())).collect();
            pairs.sort();
            Reply::Array(pairs.into_iter().flat_map(|(f, v)| [bulk(&f), bulk(&v)]).collect())
        }
        Reply::Array(all) => Reply::Array(all.into_iter().map(|r| normal("", r)).collect()),
        other => other,
    }
}

const SCRIPT: &str = "
PING|PING x|PING x y|ECHO x|ECHO|SELECT 0|SELECT x|SELECT -1|SELECT 99|NOSUCH a|GET|GET a b|SET a|SET a 1|GET a|SET a 2 NX|SET a 2 XX
SET b 2 XX|SET b 2 NX|SET a 3 GET|SET c 3 GET|SET a 3 NX XX|SET a 3 EX|SET a 3 EX 0|SET a 3 EX -1|SET a 3 PX x|SET a 3 BAD
SET a 3 EX 100 PX 100|SET a 3 EX 100 KEEPTTL|SET a 3 EX 9223372036854775807|SET a 5 EX 100|TTL a|SET a 6 KEEPTTL|TTL a|SET a 7|TTL a
EXPIRE a 100|TTL a|PERSIST a|PERSIST a|TTL a|PTTL a|TTL none|PTTL none|EXPIRE none 5|PERSIST none|EXPIRE a x|EXPIRE a 9223372036854775807
EXPIRE a -1|GET a|EXISTS a|SET a 1|PEXPIRE a 100000|TTL a|EXPIREAT a 1|EXISTS a|SET a 1|PEXPIREAT a 33000000000000|TTL a|PERSIST a
INCR a|INCR n|DECR n|DECR n|INCRBY n 5|INCRBY n x|DECRBY n 3|DECRBY n -3|SET n 9223372036854775807|INCR n|GET n|DECRBY n -9223372036854775808
SET n -9223372036854775808|DECR n|SET n 01|INCR n|SET n x|INCR n|APPEND n y|APPEND new z|STRLEN n|STRLEN none|GET n
MSET p 1 q 2|MSET p|MSET p 1 q|MGET p q none l|DEL p q none|DEL|EXISTS a a none|TYPE a|TYPE none
RPUSH l a b c|LPUSH l d e|LLEN l|LLEN none|LRANGE l 0 -1|LRANGE l 1 2|LRANGE l -2 -1|LRANGE l 5 9|LRANGE l -100 100|LRANGE l 3 1|LRANGE l x 1
LRANGE l -9223372036854775808 9223372036854775807|LPOP l|RPOP l|LPOP l 2|RPOP l 0|RPOP l -1|RPOP l 9|LPOP l|LPOP l 1|EXISTS l|TYPE l
RPUSH l a|GET l|INCR l|APPEND l x|STRLEN l|HGET l f|HSET l f v|LPUSH a x|LPOP a|LLEN a|LRANGE a 0 1|SET l s|GET l|SET l2 x|MGET l l2
HSET h f 1 g 2|HSET h f 3|HSET h f|HSET h f 1 g|HGET h f|HGET h none|HGET none f|HGETALL h|HGETALL none|HLEN h|HLEN none|HINCRBY h f 4
HINCRBY h x -4|HINCRBY h s x|HSET h s str|HINCRBY h s 1|HINCRBY h f 9223372036854775807|HDEL h f none|HDEL h g x s|EXISTS h|HDEL h f|TYPE h
HSET h f v|TYPE h|GET h|LPUSH h x|SET g str|HGETALL g|HDEL g f|HLEN g|SET g x GET|SET h x GET|TYPE h
EXEC|DISCARD|MULTI|MULTI|SET m 1|GET m|INCR m|LPUSH m x|DISCARD|GET m|MULTI|SET m 1|INCR m|LPUSH m x|GET m|EXEC|MULTI|NOSUCH|SET m 5|EXEC|GET m
MULTI|SET m|EXEC|MULTI|EXEC|WATCH m|SET m 7|MULTI|GET m|EXEC|WATCH m none|UNWATCH|SET m 8|MULTI|GET m|EXEC|WATCH none|MULTI|WATCH m|EXEC
WATCH none|SET none 1|MULTI|GET none|EXEC|WATCH none|DEL none|MULTI|PING|EXEC|WATCH none|MULTI|MGET m none|DBSIZE|ECHO x|EXEC
PUBLISH c m|UNSUBSCRIBE|UNSUBSCRIBE a|PUNSUBSCRIBE p|DBSIZE|FLUSHALL BAD|FLUSHALL SYNC|DBSIZE|CONFIG GET save|CLIENT GETNAME|CLIENT SETNAME me|CLIENT GETNAME
HELLO 4|HELLO x|MULTI|EXEC|CONFIG GET nosuchthing";

#[test]
fn every_answer_is_that_of_redis() {
    let dir = Dir::new();
    let Some(real) = Real::start(&dir) else { return };
    let kv = Kv::start(&dir, &[]);
    let (mut ours, mut theirs) = (kv.client(), Client::connect(real.1));
    for resp3 in [false, true] {
        if resp3 {
            ours.ask("HELLO 3");
            theirs.ask("HELLO 3");
        }
        let mut same = |command: &str| {
            let (a, b) = (normal(command, ours.ask(command)), normal(command, theirs.ask(command)));
            assert_eq!(a, b, "{command}, RESP3: {resp3}");
        };
        SCRIPT.split(['|', '\n']).map(str::trim).filter(|c| !c.is_empty()).for_each(&mut same);
        let mut rng = Rng(if resp3 { 0x5eed } else { 0xfeed });
        const FORMS: &[&str] = &[
            "SET k v",
            "GET k",
            "SET k n",
            "INCR k",
            "DECRBY k n",
            "APPEND k v",
            "STRLEN k",
            "DEL k",
            "DEL k k",
            "EXISTS k k k",
            "LPUSH k v v",
            "RPUSH k v",
            "LPOP k",
            "RPOP k n",
            "LLEN k",
            "LRANGE k n n",
            "LRANGE k 0 -1",
            "HSET k v v",
            "HGET k v",
            "HDEL k v v",
            "HGETALL k",
            "HLEN k",
            "HINCRBY k v n",
            "MGET k k k",
            "MSET k v k n",
            "TYPE k",
            "SET k v NX GET",
            "SET k n XX",
            "PERSIST k",
            "EXPIRE k 1000",
            "TTL k",
            "DBSIZE",
            "WATCH k",
            "MULTI",
            "EXEC",
            "EXEC",
            "DISCARD",
        ];
        for _ in 0..3_000 {
            let words = FORMS[rng.below(FORMS.len())].split(' ').map(|word| match word {
                "k" => format!("key{}", rng.below(6)),
                "v" => format!("v{}", rng.below(4)),
                "n" => (rng.below(9) as i64 - 3).to_string(),
                word => word.into(),
            });
            same(&words.collect::<Vec<_>>().join(" "));
        }
        same("DISCARD");
        same("FLUSHALL");
    }
}

#[test]
fn keys_end_by_themselves() {
    let dir = Dir::new();
    let kv = Kv::logging(&dir, "no", &[]);
    let mut c = kv.client();
    for i in 0..2_000 {
        assert!(c.ask(&format!("SET k{i} v PX {}", 1 + i % 50)).is_ok());
    }
    c.ask("SET stays v");
    c.ask("SET later v EX 1000");
    c.ask("SET counter 5 PX 1");
    eventually("gone for whoever looks", || c.ask("GET counter") == Reply::Null);
    assert_eq!(c.ask("INCR counter"), Reply::Int(1));
    eventually("gone without being looked at", || c.ask("DBSIZE").int() == 3);
    assert!(kv.info("expired_keys") >= 2_001);
    let ttl = c.ask("TTL later").int();
    assert!((1..=1000).contains(&ttl), "{ttl}");
    assert!(kv.stop().success());
    // A replay has no clock: the counter that ended counts anew.
    let kv = Kv::logging(&dir, "no", &[]);
    let mut c = kv.client();
    assert_eq!(c.ask("MGET counter stays k0"), Reply::Array(vec![bulk("1"), bulk("v"), Reply::Null]));
    assert_eq!(c.ask("TTL counter").int(), -1);
    assert!((1..=ttl).contains(&c.ask("TTL later").int()));
    assert_eq!(c.ask("DBSIZE").int(), 3);
}

#[test]
fn what_clients_ask_first() {
    let kv = Kv::start(&Dir::new(), &[]);
    let mut c = kv.client();
    let Reply::Array(all) = c.ask("COMMAND") else { panic!() };
    assert_eq!(all.len() as i64, c.ask("COMMAND COUNT").int());
    let Reply::Map(hello) = c.ask("HELLO 3 SETNAME me") else { panic!() };
    assert!(hello.windows(2).any(|w| w == [bulk("proto"), Reply::Int(3)]), "{hello:?}");
    assert_eq!(c.ask("CLIENT GETNAME"), bulk("me"));
    assert_eq!(
        c.ask("CONFIG GET append*"),
        Reply::Map(["appendonly", "no", "appendfsync", "everysec"].map(bulk).into())
    );
    assert!(c.ask("CONFIG SET save x").is_error("ERR"));
    assert!(c.ask("BGREWRITEAOF").is_error("ERR"));
    assert_eq!(kv.info("tcp_port"), kv.addr.port().into());
    assert!(c.ask("QUIT").is_ok() && c.at_end());
}
