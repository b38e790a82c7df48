//! Names and passwords, from a file: `NAME:PASSWORD` in each line. They are for those who reach the port; on the way they
//! can be read by everybody, with SOCKS5 and HTTP alike.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use subtle::ConstantTimeEq;

/// Without one, everybody is served.
pub(crate) struct Users(HashMap<Vec<u8>, Vec<u8>>);

impl Users {
    pub(crate) fn parse(text: &str) -> Result<Users, String> {
        let mut users = HashMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let pair = line.split_once(':').filter(|(name, password)| {
                // What RFC 1929 can say.
                (1..=255).contains(&name.len()) && (1..=255).contains(&password.len())
            });
            let Some((name, password)) = pair else {
                return Err(format!("line {}: NAME:PASSWORD, each of 1 to 255 bytes", number + 1));
            };
            users.insert(name.as_bytes().to_vec(), password.as_bytes().to_vec());
        }
        if users.is_empty() { Err("there is nobody in it".into()) } else { Ok(Users(users)) }
    }

    /// How long this takes does not tell how much of a password is right.
    pub(crate) fn know(&self, name: &[u8], password: &[u8]) -> bool {
        self.0.get(name).is_some_and(|right| right.ct_eq(password).into())
    }

    /// The same for a `Proxy-Authorization` (RFC 7617).
    pub(crate) fn know_field(&self, value: &[u8]) -> bool {
        let Some((scheme, coded)) = value.split_at_checked(6) else { return false };
        let Ok(pair) = STANDARD.decode(coded.trim_ascii()) else { return false };
        let colon = pair.iter().position(|&b| b == b':');
        scheme.eq_ignore_ascii_case(b"basic ")
            && colon.is_some_and(|at| self.know(&pair[..at], &pair[at + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_known() {
        let users = Users::parse("ann:pass:word\n\nbob:x\n").unwrap();
        assert!(users.know(b"ann", b"pass:word") && users.know(b"bob", b"x"));
        assert!(!users.know(b"ann", b"pass") && !users.know(b"eve", b"x") && !users.know(b"", b""));
        assert!(users.know_field(b"Basic YW5uOnBhc3M6d29yZA==") && users.know_field(b"bAsIc  Ym9iOng="));
        for bad in ["", "Basic", "Basic ", "Basic !", "Bearer Ym9iOng=", "Basic Ym9i", "Basic Ym9iOnk="] {
            assert!(!users.know_field(bad.as_bytes()), "{bad}");
        }
        for bad in ["", "\n", "ann", ":x", "ann:", &format!("{}:x", "y".repeat(256))] {
            assert!(Users::parse(bad).is_err(), "{bad}");
        }
    }
}
