//! Names to addresses.
//!
//! A numeric address costs nothing here. A name goes to the system's resolver, which blocks the thread for as long as
//! the name servers take; the scheduler sees that as a long run without a park and takes the P away after its usual
//! 10 ms. A resolver that parks instead is work still to be done.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

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
