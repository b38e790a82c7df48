//! What the program is told on its command line.

use crate::rules::Rules;
use crate::target::Target;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const USAGE: &str = "\
usage: proxy [OPTION [VALUE]]...
  --listen HOST:PORT           HTTP CONNECT, http:// and SOCKS5 (127.0.0.1:1080; port 0: any)
  --forward HOST:PORT=TARGET   a port whose clients are all connected to TARGET; as often as you like
  --users FILE                 who may use the proxy: NAME:PASSWORD in each line (everybody)
  --allow RULE, --deny RULE    whom they may reach: an address, a network 10.0.0.0/8, a host, .example.com with all
                               below it; as often as you like, denied is denied (everything)
  --deny-private               not this machine, private networks, and the like
  --page HOST:PORT             what goes on: / and /metrics, on loopback only
  --debug HOST:PORT            gosched's own page, on loopback only
  --log on|off                 the access log, on stderr (on)
  --procs N                    GOMAXPROCS
limits:
  --connections N              in all (10,000, or fewer where descriptors are few)
  --per-client N               of one address (1,000)
  --head BYTES                 of a request (16384)
  --handshake MS               for a client to say what it wants (10,000)
  --connect MS                 for the target to answer, its name included (10,000)
  --idle MS                    without a byte in either direction; 0: any time (300,000)
  --grace MS                   for tunnels to end when the server does (10,000)";

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: Option<usize>,
    pub(crate) per_client: usize,
    pub(crate) head: usize,
    pub(crate) handshake: Duration,
    pub(crate) connect: Duration,
    pub(crate) idle: Duration,
    pub(crate) grace: Duration,
}

pub(crate) struct Options {
    pub(crate) listen: String,
    pub(crate) forwards: Vec<(String, Target)>,
    pub(crate) users: Option<PathBuf>,
    pub(crate) rules: Rules,
    pub(crate) page: Option<String>,
    pub(crate) debug: Option<String>,
    pub(crate) log: bool,
    pub(crate) procs: Option<usize>,
    pub(crate) limits: Limits,
}

impl Options {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let ms = Duration::from_millis;
        let limits = Limits {
            connections: None,
            per_client: 1_000,
            head: 16 << 10,
            handshake: ms(10_000),
            connect: ms(10_000),
            idle: ms(300_000),
            grace: ms(10_000),
        };
        let mut o = Options {
            listen: "127.0.0.1:1080".into(),
            forwards: Vec::new(),
            users: None,
            rules: Rules::default(),
            page: None,
            debug: None,
            log: true,
            procs: None,
            limits,
        };
        while let Some(name) = args.next() {
            match name.as_str() {
                "--help" => return Err("a forward proxy on goroutines".into()),
                "--deny-private" => o.rules.deny_private(),
                _ => o.set(&name, args.next().ok_or_else(|| format!("{name} needs a value"))?)?,
            }
        }
        Ok(o)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        let number = || value.parse::<u32>().map_err(|_| format!("{name}: {value} is no number"));
        let count = || number().map(|n| n as usize);
        let time = || number().map(|ms| Duration::from_millis(ms.into()));
        let rule = |known: Option<()>| {
            known.ok_or_else(|| format!("{name}: {value} is neither a network nor a host"))
        };
        match name {
            "--listen" => self.listen = value,
            "--forward" => {
                let pair = value.split_once('=');
                let pair =
                    pair.and_then(|(addr, target)| Some((addr.to_owned(), Target::parse(target, None)?)));
                self.forwards.push(pair.ok_or_else(|| format!("{name}: {value} is not HOST:PORT=TARGET"))?);
            }
            "--users" => self.users = Some(value.into()),
            "--allow" => rule(self.rules.allow(&value))?,
            "--deny" => rule(self.rules.deny(&value))?,
            "--page" => self.page = Some(value),
            "--debug" => self.debug = Some(value),
            "--log" if value == "on" || value == "off" => self.log = value == "on",
            "--procs" => self.procs = Some(count()?.max(1)),
            "--connections" => self.limits.connections = Some(count()?),
            "--per-client" => self.limits.per_client = count()?,
            "--head" => self.limits.head = count()?,
            "--handshake" => self.limits.handshake = time()?,
            "--connect" => self.limits.connect = time()?,
            "--idle" => self.limits.idle = time()?,
            "--grace" => self.limits.grace = time()?,
            _ => return Err(format!("what is {name} {value}?")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_bad_ones_refused() {
        let of = |args: &str| Options::parse(args.split_whitespace().map(str::to_owned));
        let o = of("--forward 127.0.0.1:1=h:2 --deny-private --grace 5 --log off").unwrap();
        assert_eq!(
            (o.forwards[0].1.to_string().as_str(), o.limits.grace.as_millis(), o.log),
            ("h:2", 5, false)
        );
        assert!(!o.rules.is_empty());
        for bad in [
            "--grace soon",
            "--grace",
            "--grac 5",
            "--head -1",
            "--forward a:1",
            "--forward a:1=b",
            "--log loud",
            "--deny 10.0.0.0/40",
            "--allow a/b",
            "127.0.0.1:1080",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
