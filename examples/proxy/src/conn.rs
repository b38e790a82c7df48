//! A connection as others see it: the page, the watch for idle ones, and the server's end.
//!
//! ```text
//!   OPENING   asks, and its target is dialled      the connection's ──► TUNNEL; the server's end ──► LET_GO
//!   LET_GO    the server ends before there was a tunnel: its read deadline has passed, and it gets none
//!   TUNNEL    bytes go both ways                   until both are done, or it is cut
//! ```
//! The phase changes under its lock, and the deadline that belongs to it with it: so the server's end lets go whoever has no
//! tunnel, and cuts no tunnel off, whatever the connection does at that moment.
//!
//! Whoever is cut gets deadlines that have passed. They end the copies that are parked on the two sockets; the tunnel's own
//! goroutines close them then.

use crate::meter;
use crate::refusal::Refusal;
use gosched::net::TcpStream;
use gosched::sync::Mutex;
use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// After one direction has failed: for what has already come on the other.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(crate) struct Conn {
    pub(crate) peer: SocketAddr,
    pub(crate) began: Instant,
    pub(crate) client: TcpStream,
    phase: Mutex<Phase>,
    /// Who has cut it.
    cut: OnceLock<&'static str>,
    /// Sent to the client before and beside what its target sends.
    pub(crate) said: AtomicU64,
}

enum Phase {
    Opening,
    LetGo,
    Tunnel(Tunnel),
}

/// Between a client and its target.
struct Tunnel {
    protocol: &'static str,
    to: String,
    target: TcpStream,
    /// At the last look.
    traffic: Traffic,
    /// When a look found that more had gone through than at the one before.
    moved: Instant,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// From the client to the target.
    pub(crate) up: u64,
    pub(crate) down: u64,
}

/// A tunnel, for the page.
pub(crate) struct View {
    pub(crate) protocol: &'static str,
    pub(crate) to: String,
    pub(crate) traffic: Traffic,
    pub(crate) idle: Duration,
}

impl Conn {
    /// A client that may take until `until` to ask for something.
    pub(crate) fn new(peer: SocketAddr, client: TcpStream, until: Instant) -> io::Result<Conn> {
        client.set_read_deadline(Some(until))?;
        let (phase, cut, said) = (Mutex::new(Phase::Opening), OnceLock::new(), AtomicU64::new(0));
        Ok(Conn { peer, began: Instant::now(), client, phase, cut, said })
    }

    /// It has its target.
    pub(crate) fn open(&self, protocol: &'static str, to: String, target: TcpStream) -> Result<(), Refusal> {
        let mut phase = self.phase.lock();
        if matches!(*phase, Phase::LetGo) {
            return Err(Refusal::Ending);
        }
        self.client.set_read_deadline(None).map_err(|_| Refusal::Gone)?;
        let (traffic, moved) = (Traffic::default(), Instant::now());
        *phase = Phase::Tunnel(Tunnel { protocol, to, target, traffic, moved });
        Ok(())
    }

    /// The server ends: those without a tunnel get none.
    pub(crate) fn let_go(&self) {
        let mut phase = self.phase.lock();
        if matches!(*phase, Phase::Opening) {
            *phase = Phase::LetGo;
            let _ = self.client.set_read_deadline(Some(Instant::now()));
        }
    }

    /// Ends it, whatever it does.
    pub(crate) fn cut(&self, why: &'static str) {
        self.cut.get_or_init(|| why);
        self.pass_deadlines(Instant::now());
    }

    pub(crate) fn who_cut(&self) -> Option<&'static str> {
        self.cut.get().copied()
    }

    /// One direction has failed: a short time for the other.
    pub(crate) fn last_words(&self) {
        self.pass_deadlines(Instant::now() + LAST_WORDS);
        // Cut meanwhile: that deadline counts.
        if self.cut.get().is_some() {
            self.pass_deadlines(Instant::now());
        }
    }

    fn pass_deadlines(&self, at: Instant) {
        // An error says that it is closed.
        let _ = self.client.set_deadline(Some(at));
        if let Phase::Tunnel(tunnel) = &*self.phase.lock() {
            let _ = tunnel.target.set_deadline(Some(at));
        }
    }

    /// What has gone through, now.
    pub(crate) fn traffic(&self) -> Traffic {
        match &*self.phase.lock() {
            Phase::Tunnel(tunnel) => self.traffic_of(tunnel).unwrap_or_default(),
            _ => Traffic::default(),
        }
    }

    /// `None` where the system does not say.
    fn traffic_of(&self, tunnel: &Tunnel) -> Option<Traffic> {
        let (up, down) = (meter::sent(&tunnel.target)?, meter::sent(&self.client)?);
        Some(Traffic { up, down: down.saturating_sub(self.said.load(Relaxed)) })
    }

    /// A look at a tunnel: for how long no look has found anything new. `None` where there is nothing to be seen.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let mut phase = self.phase.lock();
        let Phase::Tunnel(tunnel) = &mut *phase else { return None };
        let traffic = self.traffic_of(tunnel)?;
        if traffic != tunnel.traffic {
            (tunnel.traffic, tunnel.moved) = (traffic, Instant::now());
        }
        Some(tunnel.moved.elapsed())
    }

    pub(crate) fn view(&self) -> Option<View> {
        let phase = self.phase.lock();
        let Phase::Tunnel(tunnel) = &*phase else { return None };
        let (protocol, to) = (tunnel.protocol, tunnel.to.clone());
        let traffic = self.traffic_of(tunnel).unwrap_or_default();
        Some(View { protocol, to, traffic, idle: tunnel.moved.elapsed() })
    }
}
