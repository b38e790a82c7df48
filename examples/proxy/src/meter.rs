//! How much has gone through a tunnel, while it is open.
//!
//! `gosched::net::copy` gives the number when it is done. Until then the kernel knows, which moves the bytes: it counts for
//! each TCP connection what it has sent (TCP_INFO), and what was sent to one side is what the other side's bytes have come
//! to. Asking costs a system call, and the copying nothing.

use gosched::net::TcpStream;

#[cfg(target_os = "linux")]
mod imp {
    use nix::sys::socket::getsockopt;
    use nix::{getsockopt_impl, sockopt_impl};

    // struct tcp_info as it has been since Linux 4.19, in words: tcpi_bytes_sent and tcpi_bytes_retrans are its last two.
    const WORDS: usize = 27;
    sockopt_impl!(TcpInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u64; WORDS]);

    pub(super) fn sent(stream: &super::TcpStream) -> Option<u64> {
        let info = getsockopt(stream, TcpInfo).ok()?;
        let [sent, again] = [info[WORDS - 2], info[WORDS - 1]];
        Some(sent.saturating_sub(again))
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    pub(super) fn sent(_: &super::TcpStream) -> Option<u64> {
        None
    }
}

/// Bytes that were sent on a connection, each counted once. `None` where the system does not say.
pub(crate) fn sent(stream: &TcpStream) -> Option<u64> {
    imp::sent(stream)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn what_was_sent_is_counted() {
        // SAFETY: nothing in here touches a thread-local.
        unsafe {
            gosched::run(|| {
                let listener = gosched::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (mut server, _) = listener.accept().unwrap();
                assert_eq!((sent(&client), sent(&server)), (Some(0), Some(0)));
                client.write_all(&[1; 1000]).unwrap();
                server.read_exact(&mut [0; 1000]).unwrap();
                client.write_all(&[1; 500]).unwrap();
                client.shutdown(std::net::Shutdown::Both).unwrap();
                server.read_to_end(&mut Vec::new()).unwrap();
                // The ends are not counted.
                assert_eq!((sent(&client), sent(&server)), (Some(1500), Some(0)));
            })
        }
    }
}
