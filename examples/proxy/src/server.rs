//! The server: accepts, has a goroutine for each connection until it is a tunnel (then two), and ends in order.
//!
//! ```text
//!   accept ─► goroutine: a place? ─► what is asked for? ─► dial ─► tunnel ─► a line of the log
//!                          │               │                 └── refused in the client's language
//!   SIGTERM ─► nobody new ─► those without a tunnel are let go ─► tunnels end by themselves ─► after `grace` they are cut
//! ```

use crate::client::Client;
use crate::conn::{Conn, Traffic};
use crate::dial::dial;
use crate::options::Limits;
use crate::places::{Place, Places};
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::table::{Entry, Table};
use crate::target::Target;
use crate::users::Users;
use crate::{http, socks, tunnel, watch};
use gosched::chan::{Chan, select};
use gosched::context::Context;
use gosched::go;
use gosched::net::{TcpListener, TcpStream};
use gosched::sync::WaitGroup;
use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use std::sync::Arc;
use std::time::Instant;

pub(crate) struct Server {
    pub(crate) limits: Limits,
    pub(crate) users: Option<Users>,
    pub(crate) rules: Rules,
    pub(crate) table: Arc<Table>,
    pub(crate) places: Places,
    /// Done when the server is to end.
    pub(crate) stop: Context,
}

/// What a listener is for.
#[derive(Clone)]
pub(crate) enum Service {
    Proxy,
    /// Every client wants to go there.
    Forward(Target),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Unknown,
    Socks5,
    Connect,
    Http,
    Forward,
}

/// A client's request.
struct Asked {
    protocol: Protocol,
    target: Target,
    /// Of a plain request.
    head: Option<Vec<u8>>,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Protocol::Unknown => "unknown",
            Protocol::Socks5 => "socks5",
            Protocol::Connect => "connect",
            Protocol::Http => "http",
            Protocol::Forward => "forward",
        }
    }

    fn refuse(self, client: &mut Client, refusal: Refusal) {
        match self {
            Protocol::Socks5 => socks::refuse(client, refusal),
            Protocol::Connect | Protocol::Http => http::refuse(client, refusal),
            Protocol::Unknown | Protocol::Forward => {} // closed without a word
        }
    }

    fn accept(self, client: &mut Client, target: &TcpStream) -> Result<(), Refusal> {
        match self {
            Protocol::Socks5 => socks::accept(client, target.local_addr().map_err(|_| Refusal::Gone)?),
            Protocol::Connect => http::accept(client),
            Protocol::Unknown | Protocol::Http | Protocol::Forward => Ok(()), // the target speaks first
        }
    }
}

impl Server {
    /// Serves until `stop` is done, and then until all tunnels have ended; `hurry` being done cuts short the time that they
    /// have. Gives how many were cut off.
    ///
    /// # Errors
    /// Where nobody can be accepted any more; the tunnels have their time then as well.
    pub(crate) fn serve(
        self: &Arc<Server>,
        listeners: Vec<(TcpListener, Service)>,
        hurry: &Context,
    ) -> io::Result<u64> {
        let (handlers, ended) = (WaitGroup::new(), Chan::new(listeners.len()));
        for (listener, service) in &listeners {
            let (listener, service) = (listener.try_clone()?, service.clone());
            let (server, handlers, ended) = (self.clone(), handlers.clone(), ended.clone());
            go!({ ended.send(server.accept(&listener, &service, &handlers)) });
        }
        let (over, end_watch) = Context::background().with_cancel();
        if !self.limits.idle.is_zero() {
            let (table, idle) = (self.table.clone(), self.limits.idle);
            go!({ watch::run(&table, idle, &over) });
        }
        let failure = select! {
            recv(self.stop.done()) -> _ => None,
            recv(ended) -> e => e,
        };
        for (listener, _) in &listeners {
            let _ = listener.close(); // an error: it is closed
        }
        // So that nobody comes after this. (One has been heard of already where there was a failure.)
        ended.iter().take(listeners.len() - usize::from(failure.is_some())).for_each(drop);
        let cut = self.drain(&handlers, hurry);
        end_watch.cancel();
        failure.map_or(Ok(cut), Err)
    }

    /// Accepts until that cannot be done any more.
    fn accept(
        self: &Arc<Server>,
        listener: &TcpListener,
        service: &Service,
        handlers: &WaitGroup,
    ) -> io::Error {
        loop {
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(e) => return e,
            };
            let until = Instant::now() + self.limits.handshake;
            let conn = stream.try_clone().and_then(|handle| Conn::new(peer, handle, until));
            let Ok(conn) = conn else { continue }; // closed: nobody can have done that yet
            let entry = self.table.enter(Arc::new(conn));
            let (server, service) = (self.clone(), service.clone());
            // Counted down also by a handler that panics, which ends its own connection only.
            handlers.go(move || server.connection(stream, &entry, service));
        }
    }

    /// One connection, to its end.
    fn connection(&self, stream: TcpStream, entry: &Entry, service: Service) {
        let conn = &*entry.conn;
        let place = self.places.enter(conn.peer.ip());
        if let Place::Out(refusal) = place {
            return self.log_refused(conn, Protocol::Unknown, None, refusal);
        }
        let mut client = Client::new(&stream, &conn.said);
        let asked = match self.ask(&mut client, service) {
            Ok(asked) => asked,
            Err((protocol, refusal)) => {
                client.goodbye();
                return self.log_refused(conn, protocol, None, refusal);
            }
        };
        let opened = match place {
            Place::ToBeTold { refusal, .. } => Err(refusal),
            _ => self.open(conn, &asked),
        };
        let target = match opened {
            Ok(target) => target,
            Err(refusal) => {
                asked.protocol.refuse(&mut client, refusal);
                client.goodbye();
                return self.log_refused(conn, asked.protocol, Some(&asked.target), refusal);
            }
        };
        if let Err(refusal) = asked.protocol.accept(&mut client, &target) {
            return self.log_refused(conn, asked.protocol, Some(&asked.target), refusal);
        }
        let plain = asked.head.is_some();
        let first = [asked.head.unwrap_or_default(), client.into_rest()].concat();
        let end = tunnel::run(conn, &stream, &target, &first, plain);
        self.log_ended(conn, asked.protocol, &asked.target, &end);
    }

    /// Reads what a client asks for. On an error it has been told.
    fn ask(&self, client: &mut Client, service: Service) -> Result<Asked, (Protocol, Refusal)> {
        if let Service::Forward(target) = service {
            return Ok(Asked { protocol: Protocol::Forward, target, head: None });
        }
        let users = self.users.as_ref();
        match client.first().map_err(|refusal| (Protocol::Unknown, refusal))? {
            socks::VERSION => {
                let target = socks::read(client, users).map_err(|refusal| (Protocol::Socks5, refusal))?;
                Ok(Asked { protocol: Protocol::Socks5, target, head: None })
            }
            b'A'..=b'Z' | b'a'..=b'z' => {
                let request = http::read(client, users, self.limits.head);
                let http::Request { target, head } = request.map_err(|refusal| (Protocol::Http, refusal))?;
                let protocol = if head.is_some() { Protocol::Http } else { Protocol::Connect };
                Ok(Asked { protocol, target, head })
            }
            _ => Err((Protocol::Unknown, Refusal::Malformed("neither SOCKS5 nor HTTP"))),
        }
    }

    /// Connects to the target, and makes a tunnel of the connection.
    fn open(&self, conn: &Conn, asked: &Asked) -> Result<TcpStream, Refusal> {
        let until = Instant::now() + self.limits.connect;
        let no_rules = Rules::default();
        // Where a port leads is the operator's own choice.
        let rules = if asked.protocol == Protocol::Forward { &no_rules } else { &self.rules };
        let target = dial(&asked.target, rules, until, &self.stop)?;
        prepare(&target).map_err(|_| Refusal::Failed)?;
        let handle = target.try_clone().map_err(|_| Refusal::Failed)?;
        conn.open(asked.protocol.name(), asked.target.to_string(), handle)?;
        Ok(target)
    }

    /// Lets the tunnels end; gives how many were cut off. Called when nobody is accepted any more.
    fn drain(&self, handlers: &WaitGroup, hurry: &Context) -> u64 {
        for conn in self.table.open() {
            conn.let_go();
        }
        let (finished, all) = (Chan::<()>::new(0), handlers.clone());
        let end = finished.clone();
        go!({
            all.wait();
            end.close();
        });
        select! {
            recv(finished) -> _ => return 0,
            recv(hurry.done()) -> _ => {},
            default(self.limits.grace) => {},
        }
        let left = self.table.open();
        left.iter().for_each(|conn| conn.cut("end"));
        finished.recv();
        left.len() as u64
    }

    // The access log: a line for each connection. (In functions of their own, which do not park: tracing may use a
    // thread-local.)

    #[inline(never)]
    fn log_refused(&self, conn: &Conn, protocol: Protocol, to: Option<&Target>, refusal: Refusal) {
        self.table.refused(refusal);
        let (peer, protocol, refused) = (conn.peer, protocol.name(), refusal.name());
        let (to, ms) =
            (to.map(Target::to_string).unwrap_or_default(), conn.began.elapsed().as_millis() as u64);
        tracing::info!(target: "access", %peer, protocol, to, refused, ms);
    }

    #[inline(never)]
    fn log_ended(&self, conn: &Conn, protocol: Protocol, to: &Target, end: &tunnel::End) {
        let (to, Traffic { up, down }) = (to.to_string(), end.traffic);
        self.table.ended(protocol.name(), &to, end.traffic, conn.who_cut());
        let (peer, protocol, ms) = (conn.peer, protocol.name(), conn.began.elapsed().as_millis() as u64);
        match (conn.who_cut(), &end.failed) {
            (Some(cut), _) => tracing::info!(target: "access", %peer, protocol, to, up, down, ms, cut),
            (_, Some(failed)) => tracing::info!(target: "access", %peer, protocol, to, up, down, ms, failed),
            _ => tracing::info!(target: "access", %peer, protocol, to, up, down, ms),
        }
    }
}

/// Small pieces go at once, and somebody who is not there any more is noticed.
fn prepare(target: &TcpStream) -> io::Result<()> {
    target.set_nodelay(true)?;
    setsockopt(target, sockopt::KeepAlive, &true)?;
    #[cfg(target_os = "linux")]
    setsockopt(target, sockopt::TcpKeepIdle, &(crate::KEEPALIVE.as_secs() as u32))?;
    Ok(())
}
