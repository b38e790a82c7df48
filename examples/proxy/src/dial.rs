//! The way to a target: its addresses, those of them that are allowed, and the first that answers.
//!
//! ```text
//!   name ──lookup_host──► addresses ──rules──► those that may be ──race──► connection       all of it before `until`
//! ```
//! `gosched::net::dial` would do the whole of this, but for two things: the rules must see the addresses before anybody
//! connects to one, and the deadline holds for everything together.
//!
//! ## The race (Happy Eyeballs, RFC 8305)
//! The families take turns. Each attempt has a goroutine of its own; the next one begins when the one before has failed, or
//! has not answered for a quarter of a second. Results come over a channel with room for all of them, so that nobody waits
//! to tell one; what comes after the first connection is closed with the channel.

use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::target::{Host, Target};
use gosched::chan::{Chan, select};
use gosched::context::Context;
use gosched::go;
use gosched::net::{TcpStream, lookup_host};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const HEAD_START: Duration = Duration::from_millis(250);
/// Of a name that has more addresses, these are tried.
const ADDRESSES: usize = 8;

/// Connects to `target`, before `until` has passed and `stop` is done.
pub(crate) fn dial(
    target: &Target,
    rules: &Rules,
    until: Instant,
    stop: &Context,
) -> Result<TcpStream, Refusal> {
    if rules.refuse_name(&target.host) {
        return Err(Refusal::Forbidden);
    }
    let mut addrs = addresses(target, until, stop)?;
    addrs.retain(|addr| rules.permit(&target.host, addr.ip()));
    if addrs.is_empty() {
        return Err(Refusal::Forbidden);
    }
    race(take_turns(addrs), until, stop)
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// All addresses of a target; at least one.
fn addresses(target: &Target, until: Instant, stop: &Context) -> Result<Vec<SocketAddr>, Refusal> {
    let name = match &target.host {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, target.port)]),
        Host::Name(_) => target.to_string(),
    };
    let found = Chan::new(1);
    let find = found.sender();
    // Where the resolver takes longer than we do, it finds for nobody.
    go!({ find.send(lookup_host(&name).map(Vec::from_iter)) });
    let addrs = select! {
        recv(found) -> addrs => addrs,
        recv(stop.done()) -> _ => return Err(Refusal::Ending),
        default(left(until)) => return Err(Refusal::TimedOut),
    };
    match addrs {
        Some(Ok(addrs)) if !addrs.is_empty() => Ok(addrs),
        _ => Err(Refusal::Unresolved),
    }
}

/// The first one's family, the other, the first one's …
fn take_turns(addrs: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let v4_first = addrs.first().is_some_and(SocketAddr::is_ipv4);
    let (first, other): (Vec<_>, Vec<_>) = addrs.into_iter().partition(|a| a.is_ipv4() == v4_first);
    let (mut first, mut other, mut turns) = (first.into_iter(), other.into_iter(), VecDeque::new());
    loop {
        let round = [first.next(), other.next()];
        if round == [None; 2] {
            turns.truncate(ADDRESSES);
            return turns;
        }
        turns.extend(round.into_iter().flatten());
    }
}

fn race(mut addrs: VecDeque<SocketAddr>, until: Instant, stop: &Context) -> Result<TcpStream, Refusal> {
    let results = Chan::<io::Result<TcpStream>>::new(addrs.len());
    let (mut running, mut failed) = (0, Refusal::TimedOut);
    loop {
        if let Some(addr) = addrs.pop_front() {
            let tell = results.sender();
            go!({ tell.send(TcpStream::connect_timeout(&addr, left(until).max(Duration::from_millis(1)))) });
            running += 1;
        } else if running == 0 {
            return Err(failed);
        }
        let patience = if addrs.is_empty() { left(until) } else { left(until).min(HEAD_START) };
        select! {
            recv(results) -> result => match result {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(e)) => (running, failed) = (running - 1, Refusal::of_connect(&e)),
                None => return Err(Refusal::Failed), // nobody closes it
            },
            recv(stop.done()) -> _ => return Err(Refusal::Ending),
            default(patience) => {
                if left(until).is_zero() {
                    return Err(Refusal::TimedOut);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |list: &str| list.split(' ').map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let turns = take_turns(parse("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1"));
        assert_eq!(turns, parse("[::1]:1 1.1.1.1:1 [::2]:1 [::3]:1"));
        assert_eq!(take_turns(vec![([1, 1, 1, 1], 1).into(); 20]).len(), ADDRESSES);
    }
}
