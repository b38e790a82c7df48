//! The platform: the system calls of the other files, under one set of names.
//!
//! Unix only for now. Windows has no descriptor that could be watched as it is: mio there wants to own the socket
//! (`mio::net`), and a port puts those behind these names.

#[cfg(unix)]
pub(crate) mod transfer;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(not(unix))]
compile_error!("gosched-net has a Unix back end only");
