//! The server as a process, driven by redis-cli, redis-benchmark, a real redis-server for comparison, and by sockets for what
//! no proper client would send.

mod process;
#[path = "../../../../tests/common/programs.rs"]
mod programs;

mod clients;
mod commands;
mod crash;
mod disk;
mod hostile;
mod pubsub;
mod together;
