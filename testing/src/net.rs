//! In-memory sockets.
