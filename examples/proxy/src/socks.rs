//! SOCKS5: RFC 1928, and the passwords of RFC 1929.
//!
//! ```text
//!   client                                         proxy
//!   05 n methods…                             ──►
//!                                             ◄──  05 method        00: none asked for, 02: password, FF: none of these
//!   01 n name… n password…                    ──►                   with 02
//!                                             ◄──  01 00            anything but 00: no, and the end
//!   05 command 00 type address… port port     ──►
//!                                             ◄──  05 reply 00 type address… port port
//! ```
//! Of the commands there is CONNECT. The address in the reply is the one that the proxy connects from; where there is none,
//! it is 0.0.0.0:0.

use crate::client::Client;
use crate::refusal::Refusal;
use crate::target::{Host, Target};
use crate::users::Users;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(crate) const VERSION: u8 = 5;
const NO_PASSWORD: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;

/// Reads a client's request. A client that makes none is told why.
pub(crate) fn read(client: &mut Client, users: Option<&Users>) -> Result<Target, Refusal> {
    greet(client, users)?;
    request(client).inspect_err(|refusal| refuse(client, *refusal))
}

fn greet(client: &mut Client, users: Option<&Users>) -> Result<(), Refusal> {
    let [_, methods] = client.take()?;
    let methods = client.take_vec(methods.into())?;
    let method = if users.is_some() { PASSWORD } else { NO_PASSWORD };
    if !methods.contains(&method) {
        client.say(&[VERSION, NO_METHOD])?;
        return Err(Refusal::Credentials);
    }
    client.say(&[VERSION, method])?;
    let Some(users) = users else { return Ok(()) };
    let [version, len] = client.take()?;
    let name = client.take_vec(len.into())?;
    let [len] = client.take()?;
    let password = client.take_vec(len.into())?;
    if version != 1 || !users.know(&name, &password) {
        client.say(&[1, 1])?;
        return Err(Refusal::Credentials);
    }
    client.say(&[1, 0])
}

fn request(client: &mut Client) -> Result<Target, Refusal> {
    let [version, command, reserved, kind] = client.take()?;
    if version != VERSION || reserved != 0 {
        return Err(Refusal::Malformed("no request of SOCKS5"));
    }
    let host = match kind {
        1 => Some(Host::Ip(client.take::<4>()?.into())),
        4 => Some(Host::Ip(client.take::<16>()?.into())),
        3 => {
            let [len] = client.take()?;
            Host::parse(&client.take_vec(len.into())?)
        }
        // How long it is nobody knows.
        _ => return Err(Refusal::AddressType),
    };
    let port = u16::from_be_bytes(client.take()?);
    if command != CONNECT {
        return Err(Refusal::Command);
    }
    Ok(Target { host: host.ok_or(Refusal::BadName)?, port })
}

/// Tells a client that there is no tunnel.
pub(crate) fn refuse(client: &mut Client, refusal: Refusal) {
    // Who took too long, or is gone, is not there for an answer.
    if !matches!(refusal, Refusal::Slow | Refusal::Gone) {
        let _ = reply(client, refusal.socks(), (Ipv4Addr::UNSPECIFIED, 0).into());
    }
}

/// Tells a client that it has its tunnel.
pub(crate) fn accept(client: &mut Client, from: SocketAddr) -> Result<(), Refusal> {
    reply(client, 0, from)
}

fn reply(client: &mut Client, code: u8, addr: SocketAddr) -> Result<(), Refusal> {
    let mut bytes = vec![VERSION, code, 0];
    match addr.ip() {
        IpAddr::V4(ip) => {
            bytes.push(1);
            bytes.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(4);
            bytes.extend(ip.octets());
        }
    }
    bytes.extend(addr.port().to_be_bytes());
    client.say(&bytes)
}
