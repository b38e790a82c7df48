//! Command line, repetition, the machine's counters, and the lines that are printed. (The Rust programs of `compare/`
//! are built with this file, too.)

use std::time::{Duration, Instant};

/// How long one repetition shall take, and how many there are.
const REPETITION: Duration = Duration::from_millis(200);
const REPETITIONS: usize = 5;
/// No calibration and no row of repetitions goes on for longer than this.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the command line says.
pub struct Options {
    pub workload: String,
    pub procs: usize,
    pub addr: String,
    /// How many goroutines or leaves; for the calibrated workloads, how many rounds, in place of the calibration.
    pub n: Option<u64>,
    /// Those of the program's own options that are given.
    pub flags: Vec<String>,
}

impl Options {
    /// `flags` are the options that only this program has.
    pub fn from_command_line(flags: &[&str]) -> Options {
        Options::parse(std::env::args().skip(1), flags).unwrap_or_else(|wrong| {
            let own: String = flags.iter().map(|flag| format!(" [{flag}]")).collect();
            eprintln!("{wrong}\nusage: WORKLOAD [--procs N] [--n N] [--addr HOST:PORT]{own}");
            std::process::exit(2)
        })
    }

    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|f| f == flag)
    }

    fn parse(mut words: impl Iterator<Item = String>, flags: &[&str]) -> Result<Options, String> {
        fn number<T: std::str::FromStr>(option: &str, value: Option<String>) -> Result<T, String> {
            let value = value.ok_or_else(|| format!("{option} needs a number"))?;
            value.parse().map_err(|_| format!("{option} {value}: not a number"))
        }
        let mut options = Options {
            workload: String::new(),
            procs: 1,
            addr: "127.0.0.1:7000".into(),
            n: None,
            flags: Vec::new(),
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--procs" => options.procs = number(&word, words.next())?,
                "--n" => options.n = Some(number(&word, words.next())?).filter(|n| *n > 0),
                "--addr" => options.addr = words.next().ok_or("--addr needs HOST:PORT")?,
                flag if flags.contains(&flag) => options.flags.push(word),
                _ if word.starts_with('-') => return Err(format!("unknown option {word}")),
                _ if options.workload.is_empty() => options.workload = word,
                _ => return Err(format!("a second workload: {word}")),
            }
        }
        if options.workload.is_empty() {
            return Err("no workload given".into());
        }
        Ok(options)
    }
}

/// Runs and reports the workload of one command line.
pub struct Bench {
    /// What the second column says.
    pub name: &'static str,
    pub options: Options,
}

impl Bench {
    pub fn new(name: &'static str, options: Options) -> Bench {
        Bench { name, options }
    }

    /// One result: `workload.part name+variant procs value unit`.
    pub fn report(&self, part: &str, variant: &str, value: f64, unit: &str) {
        let Options { workload, procs, .. } = &self.options;
        let (dot, plus) = (if part.is_empty() { "" } else { "." }, if variant.is_empty() { "" } else { "+" });
        println!("{workload}{dot}{part} {}{plus}{variant} {procs} {value:.1} {unit}", self.name);
    }

    /// The line of a run that there is none of; the reason is one word.
    pub fn not_available(&self, why: &str) {
        println!("{} {} {} n/a {why}", self.options.workload, self.name, self.options.procs);
    }

    /// `work(n)` does `n` rounds of `ops` operations each, and returns how long they took. Finds the `n` of a good
    /// length, at least `least`; reports ns per operation, of the median repetition.
    pub fn per_op(&self, variant: &str, least: u64, ops: u64, work: impl Fn(u64) -> Duration) {
        let n = self.options.n.unwrap_or_else(|| calibrate(least, &work));
        let d = median(|| work(n));
        self.report("", variant, d.as_secs_f64() * 1e9 / (n as f64 * ops as f64), "ns/op");
    }

    /// Work of one size: reports ms, of the median repetition, after one that does not count.
    pub fn whole(&self, variant: &str, work: impl Fn() -> Duration) {
        work();
        self.report("", variant, millis(median(work)), "ms");
    }
}

/// Rounds for one repetition. They get more until they can be timed; from there it is a matter of proportion.
fn calibrate(least: u64, work: &impl Fn(u64) -> Duration) -> u64 {
    let began = Instant::now();
    let mut n = least;
    loop {
        let took = work(n);
        if took >= REPETITION / 4 || began.elapsed() >= PATIENCE {
            return ((n as f64 * REPETITION.as_secs_f64() / took.as_secs_f64()) as u64).max(least);
        }
        n *= if took < REPETITION / 20 { 4 } else { 2 };
    }
}

fn median(work: impl Fn() -> Duration) -> Duration {
    let began = Instant::now();
    let mut took = vec![work()];
    while took.len() < REPETITIONS && began.elapsed() < PATIENCE {
        took.push(work());
    }
    took.sort();
    took[took.len() / 2]
}

pub fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

/// What the process has used up so far.
#[derive(Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    pub switches: u64,
}

impl Usage {
    pub fn now() -> Usage {
        let mut r = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the pointer is good for a write of a `rusage`.
        let rc = unsafe { libc::getrusage(libc::RUSAGE_SELF, r.as_mut_ptr()) };
        assert_eq!(rc, 0, "getrusage: {}", std::io::Error::last_os_error());
        // SAFETY: all zeroes is a value of this struct of integers, and getrusage has filled it.
        let r = unsafe { r.assume_init() };
        let time = |t: libc::timeval| Duration::from_micros(t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64);
        Usage { cpu: time(r.ru_utime) + time(r.ru_stime), switches: (r.ru_nvcsw + r.ru_nivcsw) as u64 }
    }

    pub fn since(self, earlier: Usage) -> Usage {
        Usage { cpu: self.cpu - earlier.cpu, switches: self.switches - earlier.switches }
    }
}

/// The most memory that was ever resident, in bytes (`VmHWM`).
pub fn peak_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("VmHWM is in status");
    let kib = line.trim().strip_suffix(" kB").and_then(|n| n.parse::<u64>().ok());
    kib.expect("VmHWM is a number of kB") * 1024
}
