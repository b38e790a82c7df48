//! What a process has used, as the system counts it.

use std::fs;
use std::io;
use std::time::Duration;

/// The time that CPUs have spent on it, in steps of 10 ms.
///
/// # Errors
/// Where there is no such process.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    let stat = read(pid, "stat")?;
    // The name, in parentheses, may have spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok(Duration::from_millis((user + system) * 10)),
        _ => Err(io::Error::other(format!("process {pid}: {stat:?}"))),
    }
}

/// Its resident memory, in KiB.
///
/// # Errors
/// Where there is no such process.
pub fn rss(pid: u32) -> io::Result<u64> {
    let status = read(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.ok_or_else(|| io::Error::other(format!("process {pid} has no memory")))
}

fn read(pid: u32, file: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}"))
        .map_err(|e| io::Error::other(format!("process {pid}: {e}")))
}
