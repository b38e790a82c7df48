//! Names to addresses.
//!
//! A numeric address costs nothing here. A name goes to the system's resolver, which blocks a thread for as long as the
//! name servers take:
//! - [`lookup_host`], and [`dial`](crate::dial) over it, give it a thread of its own and park the goroutine meanwhile.
//!   At most [`LOOKUPS_AT_ONCE`] run at a time; others wait for their turn.
//! - `connect` and `bind` take any `ToSocketAddrs`, as std does, and call it where they are: the value need not be one
//!   that may go to another thread. For a name this blocks the thread that the goroutine runs on; the scheduler takes
//!   the P away from it as from any call that it was not told of.

use crate::fdmutex::Sema;
use gosched_runtime::faults::{self, Point};
use parking_lot::Mutex;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// Threads in the system's resolver.
const LOOKUPS_AT_ONCE: u64 = 64;

static LOOKUPS: Sema = Sema::with_units(LOOKUPS_AT_ONCE);

/// Tries `f` with every address of `addr` until one succeeds; otherwise the last error, as std does.
pub(crate) fn each_addr<A: ToSocketAddrs, T>(
    addr: A,
    mut f: impl FnMut(&SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addr.to_socket_addrs()? {
        match f(&addr) {
            Ok(v) => return Ok(v),
            Err(e) => last = Some(e),
        }
    }
    Err(last
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")))
}

/// The addresses of `name`, which is `host:port`. Parks while the system's resolver works; never blocks a P.
///
/// # Errors
/// `InvalidInput` where `name` has no port, the resolver's own error, or that of a thread that cannot be made.
///
/// # Examples
/// ```
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// let found: Vec<_> = unsafe {
///     gosched_runtime::run(|| gosched_net::lookup_host("localhost:80").map(|addrs| addrs.collect()))
/// }?;
/// assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 80));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn lookup_host(name: &str) -> io::Result<impl Iterator<Item = SocketAddr> + use<>> {
    lookup(name).map(Vec::into_iter)
}

pub(crate) fn lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(addr) = name.parse::<SocketAddr>() {
        return Ok(vec![addr]);
    }
    let Some((host, port)) = name.rsplit_once(':') else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "missing port in address"));
    };
    let Ok(port) = port.parse::<u16>() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "invalid port in address"));
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let host = host.to_owned();
    on_own_thread(move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect))?
}

/// Runs `f` on a thread made for it, and parks until it is done.
fn on_own_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    /// Where the result is left.
    struct Slot<T> {
        value: Mutex<Option<T>>,
        done: Sema,
    }
    /// Gives what it holds a unit, also when `f` panics.
    struct Done<'a>(&'a Sema);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.release();
        }
    }
    LOOKUPS.acquire();
    let _turn = Done(&LOOKUPS);
    let slot = Arc::new(Slot { value: Mutex::new(None), done: Sema::with_units(0) });
    let theirs = slot.clone();
    faults::check(Point::Resolver)?;
    std::thread::Builder::new().name("gosched-resolver".into()).spawn(move || {
        let _done = Done(&theirs.done);
        let v = f();
        *theirs.value.lock() = Some(v);
    })?;
    slot.done.acquire();
    let v = slot.value.lock().take();
    v.ok_or_else(|| io::Error::other("the resolver panicked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_no_resolver_and_nonsense_is_refused() {
        assert_eq!(lookup("127.0.0.1:80").unwrap(), ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(lookup("[::1]:80").unwrap(), ["[::1]:80".parse().unwrap()]);
        for bad in ["localhost", "localhost:", "localhost:99999", "localhost:http", ""] {
            assert_eq!(lookup(bad).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{bad}");
        }
    }

    #[test]
    fn a_name_is_looked_up_on_another_thread() {
        let found = lookup("localhost:81").unwrap();
        assert!(!found.is_empty() && found.iter().all(|a| a.ip().is_loopback() && a.port() == 81));
        let here = std::thread::current().id();
        assert_ne!(on_own_thread(|| std::thread::current().id()).unwrap(), here);
        // A panic over there ends the wait here.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let panicked = on_own_thread(|| -> u32 { panic!("over there") });
        std::panic::set_hook(hook);
        assert!(panicked.is_err());
    }
}
