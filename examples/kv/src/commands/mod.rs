//! The commands: which there are, and what they need before they run.
//!
//! ```text
//!   Data       runs on locked keys, alone or in a transaction, and again when the log is replayed
//!   Session    has to do with the connection; not in a transaction
//! ```
//! A Data command checks everything before it changes anything: its error means that nothing has happened.

mod hashes;
mod keys;
mod lists;
mod strings;

use crate::reply::Out;
use crate::request::Args;
use crate::session::{self, Session};
use crate::shard::{Entry, Value};
use crate::store::{Db, Keys};
use crate::{admin, tx};
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

/// An error for the client, with its code.
pub struct Refused(pub Cow<'static, str>);

impl From<&'static str> for Refused {
    fn from(message: &'static str) -> Refused {
        Refused(message.into())
    }
}

pub type Answer = Result<(), Refused>;

pub const SYNTAX: &str = "ERR syntax error";
pub const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// How a command runs.
#[derive(Clone, Copy)]
pub enum Run {
    Data(Keys, fn(&mut Db<'_>, Args<'_>, &mut Out) -> Answer),
    Session(fn(&mut Session, Args<'_>) -> Answer),
}

pub struct Command {
    pub name: &'static str,
    /// The number of words, the name included; negative: at least so many (as Redis has it).
    pub arity: i32,
    /// It changes keys: refused while the log cannot be written.
    pub writes: bool,
    pub run: Run,
}

const fn read(
    name: &'static str,
    arity: i32,
    keys: Keys,
    f: fn(&mut Db<'_>, Args<'_>, &mut Out) -> Answer,
) -> Command {
    Command { name, arity, writes: false, run: Run::Data(keys, f) }
}

const fn write(
    name: &'static str,
    arity: i32,
    keys: Keys,
    f: fn(&mut Db<'_>, Args<'_>, &mut Out) -> Answer,
) -> Command {
    Command { name, arity, writes: true, run: Run::Data(keys, f) }
}

const fn of_session(name: &'static str, arity: i32, f: fn(&mut Session, Args<'_>) -> Answer) -> Command {
    Command { name, arity, writes: false, run: Run::Session(f) }
}

/// All of them. Searched from the front: what is used most stands first.
pub static COMMANDS: &[Command] = &[
    read("GET", 2, Keys::First, strings::get),
    write("SET", -3, Keys::First, strings::set),
    write("INCR", 2, Keys::First, strings::incr),
    write("DEL", -2, Keys::Rest, keys::del),
    write("HSET", -4, Keys::First, hashes::hset),
    read("HGET", 3, Keys::First, hashes::hget),
    read("MGET", -2, Keys::Rest, strings::mget),
    write("MSET", -3, Keys::Pairs, strings::mset),
    write("LPUSH", -3, Keys::First, lists::push),
    write("RPUSH", -3, Keys::First, lists::push),
    write("LPOP", -2, Keys::First, lists::pop),
    write("RPOP", -2, Keys::First, lists::pop),
    write("INCRBY", 3, Keys::First, strings::incr),
    write("DECR", 2, Keys::First, strings::incr),
    write("DECRBY", 3, Keys::First, strings::incr),
    write("APPEND", 3, Keys::First, strings::append),
    read("STRLEN", 2, Keys::First, strings::strlen),
    read("LRANGE", 4, Keys::First, lists::lrange),
    read("LLEN", 2, Keys::First, lists::llen),
    write("HDEL", -3, Keys::First, hashes::hdel),
    read("HGETALL", 2, Keys::First, hashes::hgetall),
    read("HLEN", 2, Keys::First, hashes::hlen),
    write("HINCRBY", 4, Keys::First, hashes::hincrby),
    read("EXISTS", -2, Keys::Rest, keys::exists),
    read("TYPE", 2, Keys::First, keys::kind),
    write("EXPIRE", 3, Keys::First, keys::expire),
    write("PEXPIRE", 3, Keys::First, keys::expire),
    write("EXPIREAT", 3, Keys::First, keys::expire),
    write("PEXPIREAT", 3, Keys::First, keys::expire),
    read("TTL", 2, Keys::First, keys::ttl),
    read("PTTL", 2, Keys::First, keys::ttl),
    write("PERSIST", 2, Keys::First, keys::persist),
    read("DBSIZE", 1, Keys::Whole, keys::dbsize),
    write("FLUSHALL", -1, Keys::Whole, keys::flushall),
    read("PING", -1, Keys::None, admin::ping),
    read("ECHO", 2, Keys::None, admin::echo),
    read("SELECT", 2, Keys::None, admin::select),
    read("PUBLISH", 3, Keys::None, admin::publish),
    of_session("MULTI", 1, tx::multi),
    of_session("EXEC", 1, tx::exec),
    of_session("DISCARD", 1, tx::discard),
    of_session("WATCH", -2, tx::watch),
    of_session("UNWATCH", 1, tx::unwatch),
    of_session("SUBSCRIBE", -2, session::subscribe),
    of_session("UNSUBSCRIBE", -1, session::unsubscribe),
    of_session("PSUBSCRIBE", -2, session::subscribe),
    of_session("PUNSUBSCRIBE", -1, session::unsubscribe),
    of_session("HELLO", -1, admin::hello),
    of_session("CLIENT", -2, admin::client),
    of_session("COMMAND", -1, admin::command),
    of_session("CONFIG", -2, admin::config),
    of_session("INFO", -1, admin::info),
    of_session("BGREWRITEAOF", 1, admin::rewrite),
    of_session("QUIT", -1, admin::quit),
];

/// The command of a request that has words, if there is one and the number of words is right.
pub fn find(args: Args<'_>) -> Result<&'static Command, Refused> {
    let name = args.get(0);
    let Some(command) = COMMANDS.iter().find(|c| name.eq_ignore_ascii_case(c.name.as_bytes())) else {
        let name = &name[..name.len().min(128)];
        return Err(Refused(format!("ERR unknown command '{}'", name.escape_ascii()).into()));
    };
    let (n, arity) = (args.len(), command.arity.unsigned_abs() as usize);
    let pairs = matches!(command.run, Run::Data(Keys::Pairs, _));
    let right = if command.arity < 0 { n >= arity } else { n == arity };
    if !right || pairs && n % 2 == 0 {
        let name = command.name.to_lowercase();
        return Err(Refused(format!("ERR wrong number of arguments for '{name}' command").into()));
    }
    Ok(command)
}

/// The string in an entry, and so on: the wrong type is an error.
impl Entry {
    fn str(&self) -> Result<&Vec<u8>, Refused> {
        if let Value::Str(s) = &self.value { Ok(s) } else { Err(WRONG_TYPE.into()) }
    }
    fn str_mut(&mut self) -> Result<&mut Vec<u8>, Refused> {
        if let Value::Str(s) = &mut self.value { Ok(s) } else { Err(WRONG_TYPE.into()) }
    }
    fn list(&self) -> Result<&VecDeque<Vec<u8>>, Refused> {
        if let Value::List(l) = &self.value { Ok(l) } else { Err(WRONG_TYPE.into()) }
    }
    fn list_mut(&mut self) -> Result<&mut VecDeque<Vec<u8>>, Refused> {
        if let Value::List(l) = &mut self.value { Ok(l) } else { Err(WRONG_TYPE.into()) }
    }
    fn hash(&self) -> Result<&HashMap<Vec<u8>, Vec<u8>>, Refused> {
        if let Value::Hash(h) = &self.value { Ok(h) } else { Err(WRONG_TYPE.into()) }
    }
    fn hash_mut(&mut self) -> Result<&mut HashMap<Vec<u8>, Vec<u8>>, Refused> {
        if let Value::Hash(h) = &mut self.value { Ok(h) } else { Err(WRONG_TYPE.into()) }
    }
}
