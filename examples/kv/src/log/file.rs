//! The file: what is in it, and what becomes of a damaged one.
//!
//! ```text
//!   gkvlog1\n                                             which file this is
//!   length u64 | crc of the commands | crc of these 12    a batch: what was pending at one moment
//!     *3 $3 SET $1 k $1 v  *2 $3 DEL …                    commands, as clients send them
//!   length | crc | crc  …                                 the next batch
//! ```
//! Numbers are little-endian, both crc are CRC-32. A batch is written at once, and nobody was told that it is safe before all
//! of it was written. So all of a batch counts or nothing: what a transaction did is in one batch.
//!
//! ## Torn, or damaged
//! The process or the machine may die at any moment. Then the file ends in the middle of a batch, or its last batch has places
//! that were never written. Nobody was promised this batch: it is cut off, with a line that says so. Everything else is
//! damage to what was promised, and the server does not start, because going on would be to lose it silently:
//!
//! ```text
//!   the file ends within a header, or before the batch does     torn
//!   nothing but zeroes from here to the end                     torn: the length was written, the bytes were not
//!   the last batch has the wrong crc                            torn
//!   a header with the wrong crc, a batch with the wrong crc
//!   and more behind it, a command that cannot be run            damaged: an error that says where
//! ```
//! The header has a crc of its own, or a damaged length would look like a torn end, and take all that follows with it.
//! `--repair-log` cuts a damaged file off as well.

use crate::commands::{self, Refused, Run};
use crate::reply::Out;
use crate::request::{Args, Parser};
use crate::server::Server;
use crate::store::{Delta, Store};
use gosched::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

const MAGIC: &[u8] = b"gkvlog1\n";
pub const HEADER: usize = 16;

/// A batch without commands, to append to.
pub fn empty_batch() -> Vec<u8> {
    vec![0; HEADER]
}

/// Fills the header in.
pub fn seal(batch: &mut [u8]) {
    let (header, commands) = batch.split_at_mut(HEADER);
    header[..8].copy_from_slice(&(commands.len() as u64).to_le_bytes());
    header[8..12].copy_from_slice(&crc32fast::hash(commands).to_le_bytes());
    let crc = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
}

/// The length of the commands, and their crc.
fn unseal(header: &[u8; HEADER]) -> Option<(u64, u32)> {
    let [l0, l1, l2, l3, l4, l5, l6, l7, c0, c1, c2, c3, h @ ..] = *header;
    (crc32fast::hash(&header[..12]) == u32::from_le_bytes(h))
        .then(|| (u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]), u32::from_le_bytes([c0, c1, c2, c3])))
}

/// Makes the names in the directory of `path` durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

/// A new file with nothing in it; not yet on disk. Gives its length.
pub fn create(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    lock(&file)?;
    file.write_all_at(MAGIC, 0)?;
    Ok((file, MAGIC.len() as u64))
}

/// Two servers would write over each other.
fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|e| match e {
        std::fs::TryLockError::WouldBlock => io::Error::other("another server has this log"),
        std::fs::TryLockError::Error(e) => e,
    })
}

/// Opens the log, or begins one. Gives its length.
pub fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    lock(&file)?;
    let len = file.metadata()?.len();
    let mut magic = vec![0; MAGIC.len().min(len as usize)];
    file.read_exact_at(&mut magic, 0)?;
    if len >= MAGIC.len() as u64 && magic == MAGIC {
        return Ok((file, len));
    }
    // A file that was begun and not finished has nothing in it yet.
    let begun = len <= MAGIC.len() as u64 && (MAGIC.starts_with(&magic) || magic.iter().all(|&b| b == 0));
    if !begun {
        return Err(io::Error::other("this is not a log of this server"));
    }
    file.write_all_at(MAGIC, 0)?;
    file.sync_all()?;
    sync_dir(path)?;
    Ok((file, MAGIC.len() as u64))
}

/// What stands at a place of the file.
enum Found {
    Batch(Vec<u8>),
    Torn,
    Damaged(String),
}

/// Runs every command of the log, cuts off what is torn, and gives the length that is left.
pub fn replay(server: &Server, file: &File, len: u64, repair: bool) -> io::Result<u64> {
    let mut at = MAGIC.len() as u64;
    while at < len {
        let damage = match look(file, at, len)? {
            Found::Batch(batch) => match run(server, &batch) {
                Ok(()) => {
                    at += (HEADER + batch.len()) as u64;
                    continue;
                }
                Err(e) => Some(e),
            },
            Found::Torn => None,
            Found::Damaged(e) => Some(e),
        };
        let rest = len - at;
        match damage {
            Some(e) if !repair => {
                return Err(io::Error::other(format!(
                    "damaged at byte {at}: {e}. {rest} bytes follow, which --repair-log would cut off. The server does not start."
                )));
            }
            Some(e) => say!("the log is damaged at byte {at}: {e}. Cut off: {rest} bytes."),
            None => say!(
                "the log ends in a batch that was not finished. Cut off: {rest} bytes, from byte {at} on."
            ),
        }
        file.set_len(at)?;
        file.sync_all()?;
        return Ok(at);
    }
    Ok(at)
}

fn look(file: &File, at: u64, len: u64) -> io::Result<Found> {
    let rest = len - at;
    if rest < HEADER as u64 {
        return Ok(Found::Torn);
    }
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, at)?;
    let Some((commands, crc)) = unseal(&header) else {
        return Ok(if zeroes(file, at, len)? {
            Found::Torn
        } else {
            Found::Damaged("the header of a batch has the wrong checksum".into())
        });
    };
    let follows = rest - HEADER as u64;
    if commands > follows {
        return Ok(Found::Torn);
    }
    let mut batch = vec![0; commands as usize];
    file.read_exact_at(&mut batch, at + HEADER as u64)?;
    if crc32fast::hash(&batch) == crc {
        return Ok(Found::Batch(batch));
    }
    Ok(if commands == follows {
        Found::Torn
    } else {
        Found::Damaged("a batch has the wrong checksum".into())
    })
}

fn zeroes(file: &File, mut at: u64, len: u64) -> io::Result<bool> {
    let mut buf = vec![0; 64 << 10];
    while at < len {
        let n = buf.len().min((len - at) as usize);
        file.read_exact_at(&mut buf[..n], at)?;
        if buf[..n].iter().any(|&b| b != 0) {
            return Ok(false);
        }
        at += n as u64;
    }
    Ok(true)
}

/// Runs the commands of a batch. There is no clock: what was due then has a DEL of its own.
fn run(server: &Server, mut batch: &[u8]) -> Result<(), String> {
    let (mut parser, mut out, mut delta) = (Parser::default(), Out::default(), Delta::default());
    while !batch.is_empty() {
        let n = match parser.parse(batch) {
            Ok(Some(n)) => n,
            Ok(None) => return Err("a command without its end".into()),
            Err(e) => return Err(e.to_string()),
        };
        let args = Args::new(&batch[..n], parser.words());
        if args.len() == 0 {
            return Err("a command without words".into());
        }
        let ran = commands::find(args).and_then(|command| match command.run {
            Run::Data(keys, f) => {
                Store::with(server, &[(keys, args)], 0, &mut delta, |db| f(db, args, &mut out))
            }
            Run::Session(_) => Err("ERR no command for a log".into()),
        });
        if let Err(Refused(e)) = ran {
            return Err(format!("{}: {e}", args.get(0).escape_ascii()));
        }
        out.clear();
        batch = &batch[n..];
    }
    Ok(())
}
