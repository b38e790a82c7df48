//! An HTTPS server: rustls over our sockets, a goroutine for each connection.
//!
//! ```text
//! $ cargo run -p gosched-adapters --example https -- 127.0.0.1:7443 ca.pem
//! listening on https://localhost:7443; try: curl --cacert ca.pem https://localhost:7443/
//! $ curl --cacert ca.pem https://localhost:7443/some/where
//! hello from goroutine 4, you asked for /some/where
//! ```
//! The certificate is made at start, signed by an authority that is made at start as well and written to the file
//! named. rustls' `StreamOwned` takes a stream of ours as it takes std's: it wants `Read + Write`, and a call of it
//! that needs bytes from the peer parks the goroutine.
//!
//! ```text
//!   listener ─► goroutine: StreamOwned<ServerConnection, TcpStream> ─► BufReader ─► a request, an answer, the next one
//! ```

use gosched::net::{TcpListener, TcpStream};
use gosched::{go, goid};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Write};
use std::sync::Arc;

/// A TLS connection as the server sees it.
pub type ServerStream = StreamOwned<ServerConnection, TcpStream>;

/// The name that the certificate is for.
pub const NAME: &str = "localhost";

/// A certificate for [`NAME`], with who signed it.
pub struct Identity {
    /// What a client has to trust, for a file.
    pub ca_pem: String,
    /// The same for rustls.
    pub ca: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    /// A new authority of this name, and a certificate that it signed.
    pub fn new(authority: &str) -> Result<Identity, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, authority);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([NAME.to_owned()])?;
        // OpenSSL takes a certificate whose subject is its issuer for one that signed itself.
        params.distinguished_name.push(DnType::CommonName, NAME);
        let certificate = params.signed_by(&key, &ca)?;
        Ok(Identity {
            ca_pem: ca.pem(),
            ca: ca.der().clone(),
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
        })
    }

    /// A server with this certificate, which speaks `alpn`, best first.
    pub fn server(&self, alpn: &[&[u8]]) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![self.certificate.clone()],
                PrivatePkcs8KeyDer::from(self.key.clone()).into(),
            )?;
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        Ok(config)
    }
}

/// Serves each connection with `handle` until the listener is closed. An error ends one connection, and is printed.
pub fn serve<F>(listener: TcpListener, config: ServerConfig, handle: F)
where
    F: Fn(&mut ServerStream) -> io::Result<()> + Send + Sync + 'static,
{
    let (config, handle) = (Arc::new(config), Arc::new(handle));
    while let Ok((tcp, peer)) = listener.accept() {
        let (config, handle) = (config.clone(), handle.clone());
        go!({
            let one = || {
                let tls = ServerConnection::new(config).map_err(io::Error::other)?;
                // The handshake comes with the first read.
                let mut stream = StreamOwned::new(tls, tcp);
                handle(&mut stream)?;
                stream.conn.send_close_notify();
                stream.flush()
            };
            if let Err(e) = one() {
                eprintln!("{peer}: {e}");
            }
        });
    }
}

/// HTTP/1.1 as far as GET goes: each request is answered with the goroutine's number and the path.
pub fn hello(stream: &mut ServerStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut request, mut line) = (String::new(), String::new());
        if stream.read_line(&mut request)? == 0 {
            return Ok(());
        }
        // The headers, of which none matters here.
        while stream.read_line(&mut line)? > 2 {
            line.clear();
        }
        let path = request.split(' ').nth(1).unwrap_or("nothing");
        let body = format!("hello from goroutine {}, you asked for {path}\n", goid().unwrap_or(0));
        write!(stream.get_mut(), "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        stream.get_mut().flush()?;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or("127.0.0.1:7443".into());
    let file = args.next().unwrap_or("ca.pem".into());
    // SAFETY: no goroutine holds a borrow of a thread-local, or a value tied to a thread, while it parks; neither
    // rustls nor ring keeps one.
    unsafe {
        gosched::run(move || {
            let identity = Identity::new("made at start")?;
            std::fs::write(&file, &identity.ca_pem)?;
            let listener = TcpListener::bind(&addr)?;
            let url = format!("https://{NAME}:{}", listener.local_addr()?.port());
            println!("listening on {url}; try: curl --cacert {file} {url}/");
            serve(listener, identity.server(&[b"http/1.1"])?, hello);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gosched_adapters::{loopback, on_goroutine, run_tool, tool};

    #[test]
    fn curl_is_answered() {
        let Some(curl) = tool("curl") else { return };
        on_goroutine(move || {
            let identity = Identity::new("ours").unwrap();
            let listener = TcpListener::bind(loopback()).unwrap();
            let (at, serving) = (listener.local_addr().unwrap(), listener.try_clone().unwrap());
            let config = identity.server(&[b"http/1.1"]).unwrap();
            let server = gosched::spawn(move || serve(serving, config, hello));

            let file = |name: &str, pem: &str| {
                let path = std::env::temp_dir().join(format!(
                    "gosched-{}-{}-{name}.pem",
                    std::process::id(),
                    at.port()
                ));
                std::fs::write(&path, pem).unwrap();
                path
            };
            let ours = file("ours", &identity.ca_pem);
            let stranger = file("stranger", &Identity::new("a stranger").unwrap().ca_pem);
            let resolve = format!("{NAME}:{}:{}", at.port(), at.ip());
            let url = |path| format!("https://{NAME}:{}{path}", at.port());
            let ask = |ca: &std::path::Path, urls: &[String]| {
                let ca = ca.display().to_string();
                let mut args =
                    vec!["-sS", "-m", "80", "--noproxy", "*", "--resolve", &resolve, "--cacert", &ca];
                args.extend(urls.iter().map(String::as_str));
                run_tool(&curl, &args).unwrap()
            };

            // Two requests, on one connection: the second is answered by the same goroutine.
            let out = ask(&ours, &[url("/one"), url("/two")]);
            let text = String::from_utf8(out.stdout).unwrap();
            let lines: Vec<_> = text.lines().collect();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            assert_eq!(lines.len(), 2, "{text}");
            assert!(
                lines[0].ends_with("you asked for /one") && lines[1].ends_with("you asked for /two"),
                "{text}"
            );
            assert_eq!(lines[0].split(',').next(), lines[1].split(',').next());

            // Who trusts somebody else is told so, and the server goes on. (60: the certificate cannot be verified.)
            let out = ask(&stranger, &[url("/")]);
            assert_eq!(out.status.code(), Some(60), "{}", String::from_utf8_lossy(&out.stderr));
            assert!(ask(&ours, &[url("/")]).status.success());

            listener.close().unwrap();
            server.join().unwrap();
            for path in [ours, stranger] {
                std::fs::remove_file(path).unwrap();
            }
        });
    }
}
