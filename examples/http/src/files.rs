//! Files of a directory, and none outside of it.
//!
//! ```text
//!   /a%20b/c.html ─split at /─► "a%20b" "c.html" ─decode each─► "a b" "c.html" ─join─► root/a b/c.html ─links─► below root?
//! ```
//! A part is decoded after the path was split, so that no encoded slash makes two of one; it must then be a plain name: not
//! `..`, not empty, nothing with a slash or a zero in it, and UTF-8. Links are followed, and the file at their end must lie
//! in the directory as well. What is refused for where it would lead is simply not there: 404.

use crate::exchange::Exchange;
use crate::refused::Refused;
use gosched::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

const NOT_HERE: Refused = Refused(404, "there is nothing here");

/// A directory whose files are served.
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// The files below `root`.
    ///
    /// # Errors
    /// Where there is no such directory.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Files> {
        Ok(Files { root: fs::canonicalize(root)? })
    }

    /// Answers with the file at the request's path; `index.html` for a directory.
    ///
    /// # Errors
    /// A refusal, or the connection's.
    pub fn serve(&self, x: &mut Exchange) -> io::Result<()> {
        let path = x.head().path();
        let mut file = self.below(path)?;
        let mut about = fs::metadata(&file).map_err(gone)?;
        if about.is_dir() {
            if !path.ends_with('/') {
                // Links in the page are relative to this. (No path that comes here begins with two slashes, which would
                // be another host.)
                x.field("location", &format!("{path}/"));
                return x.respond(301, crate::exchange::TEXT, b"");
            }
            file = self.inside(file.join("index.html"))?;
            about = fs::metadata(&file).map_err(gone)?;
        }
        if !about.is_file() {
            return Err(NOT_HERE.into()); // a pipe would not even open
        }
        let modified = about.modified()?;
        x.field("last-modified", &httpdate::fmt_http_date(modified));
        if x.head().field("if-modified-since").is_some_and(|since| !newer(modified, since)) {
            return x.respond(304, "", b"");
        }
        let content = fs::File::open(&file).map_err(gone)?;
        let len = content.metadata()?.len();
        x.send_file(kind(&file), &content, len)
    }

    fn below(&self, path: &str) -> io::Result<PathBuf> {
        let parts = path.strip_prefix('/').ok_or(NOT_HERE)?;
        let mut file = self.root.clone();
        let mut parts = parts.split('/').peekable();
        while let Some(part) = parts.next() {
            if part.is_empty() && parts.peek().is_none() {
                break; // a slash at the end
            }
            let name = decode(part).ok_or(Refused(400, "the path is no text"))?;
            let mut components = Path::new(&name).components();
            match (components.next(), components.next()) {
                (Some(Component::Normal(plain)), None) if plain == &*name && !name.contains('\0') => {
                    file.push(plain);
                }
                _ => return Err(NOT_HERE.into()),
            }
        }
        self.inside(file)
    }

    /// The file with all links followed, if that is in the directory.
    fn inside(&self, file: PathBuf) -> io::Result<PathBuf> {
        let real = fs::canonicalize(file).map_err(gone)?;
        if real.starts_with(&self.root) { Ok(real) } else { Err(NOT_HERE.into()) }
    }
}

/// What the system says of files that cannot be had. (There is a path too long for it, and links that go round.)
fn gone(e: io::Error) -> io::Error {
    use ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    let circle = e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    match e.kind() {
        NotFound | PermissionDenied | NotADirectory | InvalidFilename => NOT_HERE.into(),
        _ if circle => NOT_HERE.into(),
        _ => e,
    }
}

/// Whether a file was changed after the time that a client names; such a time has no fractions of a second.
fn newer(modified: SystemTime, since: &[u8]) -> bool {
    let since = std::str::from_utf8(since).ok().and_then(|s| httpdate::parse_http_date(s).ok());
    since.is_none_or(|since| modified >= since + Duration::from_secs(1))
}

/// `%41` and the like become bytes; all together must be UTF-8.
fn decode(part: &str) -> Option<String> {
    let (mut out, mut bytes) = (Vec::with_capacity(part.len()), part.bytes());
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'%' => {
                let mut digit = || Some((bytes.next()? as char).to_digit(16)? as u8);
                digit()? << 4 | digit()?
            }
            b => b,
        });
    }
    String::from_utf8(out).ok()
}

fn kind(file: &Path) -> &'static str {
    match file.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("txt" | "md") => crate::exchange::TEXT,
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs() {
        assert_eq!(decode("a%20b%2F").as_deref(), Some("a b/"));
        assert_eq!(decode("%c3%a9").as_deref(), Some("é"));
        for bad in ["%", "%4", "%zz", "%+1", "%ff", "%c3"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn nothing_outside() {
        let files = Files::new(env!("CARGO_MANIFEST_DIR")).unwrap();
        let status = |path: &str| match files.below(path) {
            Ok(_) => 200,
            Err(e) => Refused::within(&e).unwrap_or_else(|| panic!("{path}: {e}")).0,
        };
        for path in ["/", "/src", "/src/", "/src/files.rs", "/%73rc/files.rs"] {
            assert_eq!(status(path), 200, "{path}");
        }
        for path in [
            "/..",
            "/../",
            "/../../Cargo.toml",
            "/src/../../../Cargo.toml",
            "/src/../Cargo.toml", // it is inside, but no plain name leads there
            "/%2e%2e/%2e%2e/Cargo.toml",
            "/..%2f..%2fCargo.toml",
            "/src%2ffiles.rs",
            "//etc/passwd",
            "/%2fetc/passwd",
            "/src//files.rs",
            "/./src",
            "/src/.",
            "/src%00",
            "/no-such",
            "*",
        ] {
            assert_eq!(status(path), 404, "{path}");
        }
        assert_eq!(status("/%ff"), 400);
        assert_eq!(status(&format!("/{}", "x".repeat(5000))), 404);
    }
}
