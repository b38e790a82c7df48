//! Whom the proxy's clients may reach: `--allow`, `--deny`, `--deny-private`.
//!
//! ```text
//!   denied                                no, whatever else is said
//!   private, and --deny-private           no
//!   there are --allow, and none fits      no
//!   otherwise                             yes
//! ```
//! Asked about each *address* that a name has been resolved to, and the connection is made to the address that was asked
//! about. Who owns a name can have it point to 127.0.0.1 at one moment and elsewhere at the next (DNS rebinding): a rule
//! that looks at the name, and lets somebody else resolve it again, decides nothing.

use crate::target::Host;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the public Internet is not: this machine, this network, those who share an address, groups, what is reserved. (IANA's
/// registries of special addresses, without those that are routed all the same.)
const PRIVATE: [&str; 22] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4", // IPv6:
    "::/96",
    "100::/64",
    "2001:db8::/32",
    "3fff::/20",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Net(IpNet),
    /// This name.
    Host(String),
    /// The name and all below it: `.example.com`.
    Below(String),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    allow: Vec<Rule>,
    deny: Vec<Rule>,
    /// Empty, or `PRIVATE`.
    private: Vec<IpNet>,
}

impl Rule {
    fn parse(text: &str) -> Option<Rule> {
        if let Ok(net) = text.parse() {
            return Some(Rule::Net(net));
        }
        let (below, name) = match text.strip_prefix('.') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        match Host::parse(name.as_bytes())? {
            Host::Ip(ip) if !below => Some(Rule::Net(ip.into())),
            Host::Ip(_) => None,
            Host::Name(name) if below => Some(Rule::Below(canonical(&name))),
            Host::Name(name) => Some(Rule::Host(canonical(&name))),
        }
    }

    fn fits_name(&self, name: &str) -> bool {
        match self {
            Rule::Net(_) => false,
            Rule::Host(host) => host == name,
            Rule::Below(host) => {
                name.strip_suffix(host.as_str()).is_some_and(|left| left.is_empty() || left.ends_with('.'))
            }
        }
    }

    fn fits(&self, host: &Host, ip: IpAddr) -> bool {
        match (self, host) {
            (Rule::Net(net), _) => net.contains(&ip),
            (_, Host::Name(name)) => self.fits_name(&canonical(name)),
            _ => false,
        }
    }
}

/// Names are the same in large letters, and with the root's dot.
fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl Rules {
    pub(crate) fn allow(&mut self, rule: &str) -> Option<()> {
        Rule::parse(rule).map(|rule| self.allow.push(rule))
    }

    pub(crate) fn deny(&mut self, rule: &str) -> Option<()> {
        Rule::parse(rule).map(|rule| self.deny.push(rule))
    }

    pub(crate) fn deny_private(&mut self) {
        self.private = PRIVATE.iter().map(|net| net.parse().expect("a network of the table")).collect();
    }

    /// Nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty() && self.private.is_empty()
    }

    /// Whether a name is refused without a look at where it points to.
    pub(crate) fn refuse_name(&self, host: &Host) -> bool {
        let Host::Name(name) = host else { return false };
        let name = canonical(name);
        self.deny.iter().any(|rule| rule.fits_name(&name))
    }

    /// Whether `ip`, which `host` has turned out to be, may be connected to.
    pub(crate) fn permit(&self, host: &Host, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let fits = |rules: &[Rule]| rules.iter().any(|rule| rule.fits(host, ip));
        !fits(&self.deny) && !self.is_private(ip) && (self.allow.is_empty() || fits(&self.allow))
    }

    fn is_private(&self, ip: IpAddr) -> bool {
        let carried = |ip| match ip {
            IpAddr::V6(ip) => carries(ip).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        self.private.iter().any(|net| net.contains(&ip) || carried(ip).is_some_and(|ip| net.contains(&ip)))
    }
}

/// The IPv4 address behind a translated one (64:ff9b::/96) or one of 6to4 (2002::/16): a gateway leads there.
fn carries(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(rules: &Rules, host: &str, ip: &str) -> bool {
        rules.permit(&Host::parse(host.as_bytes()).unwrap(), ip.parse().unwrap())
    }

    #[test]
    fn denied_is_denied_and_allowed_is_the_rest() {
        let mut rules = Rules::default();
        assert!(rules.is_empty() && permits(&rules, "a.example", "127.0.0.1"));
        rules.deny("10.0.0.0/8").unwrap();
        rules.deny("Bad.example.").unwrap();
        assert!(!permits(&rules, "a.example", "10.1.2.3"));
        assert!(!permits(&rules, "10.1.2.3", "10.1.2.3"));
        assert!(!permits(&rules, "a.example", "::ffff:10.1.2.3"), "the same address in other clothes");
        assert!(!permits(&rules, "BAD.example", "1.1.1.1") && permits(&rules, "x.bad.example", "1.1.1.1"));
        assert!(rules.refuse_name(&Host::Name("bad.EXAMPLE.".into())));
        rules.allow(".good.example").unwrap();
        rules.allow("2001:db8::/32").unwrap();
        assert!(
            permits(&rules, "good.example", "1.1.1.1") && permits(&rules, "a.b.good.example.", "1.1.1.1")
        );
        assert!(!permits(&rules, "notgood.example", "1.1.1.1") && permits(&rules, "x.y", "2001:db8::5"));
        assert!(!permits(&rules, "good.example", "10.0.0.1"), "denied first");
        for bad in ["", ".", "10.0.0.0/33", ".1.2.3.4", "a b", "http://x"] {
            assert!(rules.deny(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_private() {
        let mut rules = Rules::default();
        rules.deny_private();
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.0.0.1",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b::c0a8:101",
            "2002:7f00:1::1",
        ] {
            assert!(!permits(&rules, "a.example", ip), "{ip}");
        }
        for ip in ["1.1.1.1", "172.32.0.1", "2606:4700::1", "64:ff9b::101:101", "::ffff:8.8.8.8"] {
            assert!(permits(&rules, "a.example", ip), "{ip}");
        }
    }
}
