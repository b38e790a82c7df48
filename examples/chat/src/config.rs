//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Config {
    pub addr: String,
    pub history: PathBuf,
    /// How many messages of a room are kept, and sent to who comes.
    pub history_length: usize,
    pub connections: usize,
    pub rooms: usize,
    /// The longest message, in bytes.
    pub message: usize,
    /// So many bytes may wait for a client that does not read.
    pub mailbox: usize,
    /// So many frames a second a client may send, or any number.
    pub rate: Option<u32>,
    /// How long a client may be silent before it is asked whether it is there.
    pub ping: Duration,
    /// How long a client may take for its request.
    pub handshake: Duration,
    /// How long a client may take to answer a close, and to take what is left for it.
    pub close: Duration,
    pub procs: Option<usize>,
}

const HELP: &str = "\
chat: rooms over WebSockets, on goroutines

  --addr HOST:PORT      where to listen (127.0.0.1:8090; port 0: any)
  --history FILE        where what was said is kept (chat.redb)
  --history-length N    how many messages of a room are kept, and sent to who comes (50)
  --procs N             GOMAXPROCS
limits:
  --connections N       (10000)
  --rooms N             at a time (1000)
  --message BYTES       the longest message (4096)
  --mailbox BYTES       a client for whom more waits is dropped (262144)
  --rate N              frames a second from one client, twice as many at once (20; 0: any number)
  --ping MS             who is silent for so long is asked, and after three times of it dropped (20000)
  --handshake MS        how long a request may take (5000)
  --close MS            how long the end of a connection may take (3000)
";

impl Config {
    /// The error is for the user. `--help` prints, and ends the process.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Config, String> {
        let mut config = Config {
            addr: "127.0.0.1:8090".into(),
            history: "chat.redb".into(),
            history_length: 50,
            connections: 10_000,
            rooms: 1_000,
            message: 4096,
            mailbox: 256 << 10,
            rate: Some(20),
            ping: Duration::from_secs(20),
            handshake: Duration::from_secs(5),
            close: Duration::from_secs(3),
            procs: None,
        };
        while let Some(word) = words.next() {
            if word == "--help" || word == "-h" {
                print!("{HELP}");
                std::process::exit(0);
            }
            let value = words.next().ok_or(format!("{word}: its value is missing"));
            let value = || value.clone();
            match word.as_str() {
                "--addr" => config.addr = value()?,
                "--history" => config.history = value()?.into(),
                "--history-length" => config.history_length = number(&word, &value()?, 0)?,
                "--procs" => config.procs = Some(number(&word, &value()?, 1)?),
                "--connections" => config.connections = number(&word, &value()?, 1)?,
                "--rooms" => config.rooms = number(&word, &value()?, 1)?,
                "--message" => config.message = number(&word, &value()?, 1)?,
                "--mailbox" => config.mailbox = number(&word, &value()?, 0)?,
                "--rate" => config.rate = Some(number(&word, &value()?, 0)?).filter(|&n| n > 0),
                "--ping" => config.ping = Duration::from_millis(number(&word, &value()?, 1)?),
                "--handshake" => config.handshake = Duration::from_millis(number(&word, &value()?, 1)?),
                "--close" => config.close = Duration::from_millis(number(&word, &value()?, 1)?),
                _ => return Err(format!("{word}: no such option\n\n{HELP}")),
            }
        }
        Ok(config)
    }
}

fn number<T: FromStr<Err: std::fmt::Display> + TryFrom<u8> + PartialOrd>(
    name: &str,
    value: &str,
    least: u8,
) -> Result<T, String> {
    match value.parse::<T>() {
        Ok(n) if T::try_from(least).is_ok_and(|least| n < least) => {
            Err(format!("{name} {value}: {least} is the least"))
        }
        n => n.map_err(|e| format!("{name} {value}: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_options_are_refused() {
        let of = |args: &[&str]| Config::parse(args.iter().map(|s| s.to_string()));
        let config = of(&["--rate", "0", "--addr", "h:1", "--ping", "5"]).unwrap();
        assert_eq!((config.rate, config.ping), (None, Duration::from_millis(5)));
        for bad in
            [&["--ping", "soon"][..], &["--ping"], &["--pin", "5"], &["--rooms", "-1"], &["--message", "0"]]
        {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
