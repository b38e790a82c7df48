//! TLS: who we are, and what is agreed on.
//!
//! The certificate is made at start, signed by an authority that is made at start as well: whoever trusts that one's
//! certificate (`curl --cacert`) trusts this server, as long as it runs. Sessions are resumed by tickets, encrypted with keys
//! that live as long, so that a client that comes again saves a round trip's work and the server remembers nothing.
//!
//! Thread-locals: rustls and ring have none across a read or a write (adapters/tests/tls.rs looks at that).

use gosched::net::TcpStream;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

/// The names that the certificate is for.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// A new identity: what the server is configured with, and its authority's certificate for a file, as PEM.
///
/// # Errors
/// Where no random numbers can be had, for instance.
pub fn identity() -> Result<(ServerConfig, String), Box<dyn Error + Send + Sync>> {
    let mut params = CertificateParams::default();
    // Another one each time: who has kept an old certificate of the same name is told of a bad signature, not of a stranger.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    params.distinguished_name.push(DnType::CommonName, format!("made at {now}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    // OpenSSL takes a certificate whose subject is its issuer for one that signed itself.
    params.distinguished_name.push(DnType::CommonName, NAMES[0]);
    let certificate = params.signed_by(&key, &authority)?;

    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    Ok((config, authority.pem()))
}

/// Whether a client begins with a TLS record, as it should. One that speaks HTTP without is told so, in its own language.
pub(crate) fn begins(mut stream: &TcpStream) -> io::Result<bool> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    if stream.peek(&mut first)? == 0 {
        return Ok(false);
    }
    if first[0].is_ascii_uppercase() {
        stream.write_all(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 36\r\n\
              connection: close\r\n\r\nthis port speaks HTTPS and not HTTP\n",
        )?;
    }
    Ok(first[0] == HANDSHAKE)
}
