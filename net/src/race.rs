//! A connection to whichever address answers first: Happy Eyeballs (RFC 8305; Go: net/dial.go, `dialParallel`).
//!
//! A name often has addresses of both families, and a network on which one of them leads nowhere: a connect there is not
//! refused, it hangs. So there are two teams, one for each family, that each try their addresses in turn:
//!
//! ```text
//!   t = 0          the family of the first address starts
//!   t = 300 ms,    the other one starts, too, if there is no connection yet
//!   or when the first team has failed
//!   first success  is the connection; what the other team is trying is closed under it, which ends its wait
//!   both failed    the first team's error
//! ```
//! A team is a goroutine, or a thread where the caller is none: both work wherever a connect does.

use crate::fd::Fd;
use crate::fderror::closed;
use crate::tcp::TcpStream;
use gosched_runtime::sync::{Condvar, Mutex};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The other family's handicap. Go's value.
pub(crate) const FALLBACK_DELAY: Duration = Duration::from_millis(300);

#[derive(Default)]
struct Race {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    /// There is a connection; nobody needs another one.
    over: bool,
    won: Option<TcpStream>,
    teams: [Team; 2],
}

#[derive(Default)]
struct Team {
    /// The socket on which it waits.
    trying: Option<Arc<Fd>>,
    /// All of its addresses have failed.
    failed: Option<io::Error>,
}

/// Connects to one of `addrs`, the other family with a handicap of `delay`. Parks.
pub(crate) fn connect(addrs: Vec<SocketAddr>, delay: Duration) -> io::Result<TcpStream> {
    let v4_first = addrs.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addrs.into_iter().partition(|a| a.is_ipv4() == v4_first);
    if second.is_empty() {
        return TcpStream::connect(&first[..]);
    }
    let race = Arc::new(Race::default());
    race.start(0, first);
    let state = race.state.lock();
    let (state, _) = race.news.wait_timeout_while(state, delay, |s| !s.over && s.teams[0].failed.is_none());
    let second = (!state.over).then_some(second);
    drop(state);
    if let Some(second) = second {
        race.start(1, second);
    }
    let undecided = |s: &mut State| !s.over && s.teams.iter().any(|t| t.failed.is_none());
    let mut state = race.news.wait_while(race.state.lock(), undecided);
    match state.won.take() {
        Some(s) => Ok(s),
        None => Err(state.teams[0].failed.take().expect("both have failed")),
    }
}

impl Race {
    fn start(self: &Arc<Race>, team: usize, addrs: Vec<SocketAddr>) {
        let race = self.clone();
        let run = move || race.run(team, &addrs);
        let name = "gosched-dial".to_string();
        let started = if gosched_runtime::goid().is_some() {
            gosched_runtime::Builder::new().name(name).spawn(run).map(drop)
        } else {
            std::thread::Builder::new().name(name).spawn(run).map(drop)
        };
        if let Err(e) = started {
            self.state.lock().teams[team].failed = Some(e);
        }
    }

    fn run(&self, team: usize, addrs: &[SocketAddr]) {
        let mut last = None;
        for addr in addrs {
            let tried = TcpStream::connect_noted(addr, None, |fd| {
                let mut state = self.state.lock();
                state.teams[team].trying = Some(fd.clone());
                if state.over { Err(closed()) } else { Ok(()) }
            });
            let mut state = self.state.lock();
            let done_with = state.teams[team].trying.take();
            if state.over {
                drop(state);
                return drop((tried, done_with));
            }
            match tried {
                Err(e) => last = Some(e),
                Ok(s) => {
                    (state.over, state.won) = (true, Some(s));
                    let other = state.teams[1 - team].trying.take();
                    drop(state);
                    self.news.notify_all();
                    if let Some(other) = other {
                        let _ = other.close(); // an error: it has been closed
                    }
                    return;
                }
            }
        }
        self.state.lock().teams[team].failed = last;
        self.news.notify_all();
    }
}

#[cfg(test)]
#[path = "tests/race.rs"]
mod tests;
