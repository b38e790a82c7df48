//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// When a change counts as kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fsync {
    /// Once it is on disk: the reply waits for it.
    Always,
    /// The disk has it about a second later.
    EverySecond,
    /// When the system writes it.
    No,
}

impl Fsync {
    pub fn name(self) -> &'static str {
        match self {
            Fsync::Always => "always",
            Fsync::EverySecond => "everysec",
            Fsync::No => "no",
        }
    }
}

impl FromStr for Fsync {
    type Err = String;
    fn from_str(s: &str) -> Result<Fsync, String> {
        let all = [Fsync::Always, Fsync::EverySecond, Fsync::No];
        all.into_iter().find(|f| f.name() == s).ok_or("always, everysec or no".into())
    }
}

#[derive(Clone, Debug)]
pub struct Config {
    pub bind: String,
    pub port: u16,
    /// Where the log is; none: nothing is kept.
    pub log: Option<PathBuf>,
    pub fsync: Fsync,
    pub repair: bool,
    /// The log is written anew when it is larger than this, and has doubled.
    pub rewrite_min: u64,
    pub max_clients: usize,
    /// How long a client may say nothing, or take nothing.
    pub timeout: Option<Duration>,
    /// How many bytes may wait for a subscriber.
    pub pubsub_limit: usize,
}

const HELP: &str = "\
kv: a server that speaks Redis' protocol

  --bind ADDRESS            127.0.0.1
  --port N                  6379; 0: the system chooses
  --appendonly yes|no       whether to keep a log (no)
  --appendfilename FILE     the log (appendonly.kvlog)
  --appendfsync WHEN        always, everysec, no (everysec)
  --repair-log              cut a damaged log off where the damage begins
  --rewrite-min-size BYTES  write the log anew when it is larger and has doubled (67108864)
  --maxclients N            10000
  --timeout SECONDS         close connections that are idle for so long (0: never)
  --pubsub-limit BYTES      cut a subscriber off for whom more waits (33554432)
";

impl Config {
    /// The error is for the user. `--help` prints, and ends the process.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Config, String> {
        let mut config = Config {
            bind: "127.0.0.1".into(),
            port: 6379,
            log: None,
            fsync: Fsync::EverySecond,
            repair: false,
            rewrite_min: 64 << 20,
            max_clients: 10_000,
            timeout: None,
            pubsub_limit: 32 << 20,
        };
        let (mut keep, mut file) = (false, PathBuf::from("appendonly.kvlog"));
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word}: its value is missing"));
            match word.as_str() {
                "--help" | "-h" => {
                    print!("{HELP}");
                    std::process::exit(0);
                }
                "--bind" => config.bind = value()?,
                "--port" => config.port = parse(&word, &value()?)?,
                "--appendonly" => match value()?.as_str() {
                    "yes" => keep = true,
                    "no" => keep = false,
                    other => return Err(format!("--appendonly {other}: yes or no")),
                },
                "--appendfilename" => file = value()?.into(),
                "--appendfsync" => config.fsync = parse(&word, &value()?)?,
                "--repair-log" => config.repair = true,
                "--rewrite-min-size" => config.rewrite_min = parse(&word, &value()?)?,
                "--maxclients" => config.max_clients = parse(&word, &value()?)?,
                "--timeout" => {
                    let secs = parse(&word, &value()?)?;
                    config.timeout = (secs > 0).then(|| Duration::from_secs(secs));
                }
                "--pubsub-limit" => config.pubsub_limit = parse(&word, &value()?)?,
                _ => return Err(format!("{word}: no such option\n\n{HELP}")),
            }
        }
        config.log = keep.then_some(file);
        Ok(config)
    }
}

fn parse<T: FromStr<Err: std::fmt::Display>>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|e| format!("{name} {value}: {e}"))
}
