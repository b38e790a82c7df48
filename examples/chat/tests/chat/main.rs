//! The server as a process: driven by sockets and frames made by hand, by tungstenite, by python3 and curl, by a thousand
//! clients of chat-load, and by two pages of Chromium.
#![cfg(target_os = "linux")]

mod browser;
mod client;
mod process;
#[path = "../../../../tests/common/programs.rs"]
mod programs;

mod disk;
mod frames;
mod history;
mod http;
mod load;
mod others;
mod page;
mod rooms;
mod slow;
