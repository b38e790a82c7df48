//! How many CPUs this process may use, and how many threads it has.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Given by tests in the place of the affinity mask; 0: not.
static TEST_CPUS: AtomicUsize = AtomicUsize::new(0);

/// Says how many CPUs there are; for tests.
pub(crate) fn set_test_cpus(n: usize) {
    TEST_CPUS.store(n, Ordering::Relaxed);
}

/// CPUs that the process may run on: its affinity mask. At least 1.
pub(crate) fn num_cpu() -> usize {
    match TEST_CPUS.load(Ordering::Relaxed) {
        0 => affinity(),
        n => n,
    }
}

fn affinity() -> usize {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: all zeroes is a valid, empty cpu_set_t.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes at most the given size into `set`.
        if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } == 0 {
            // SAFETY: reads the set.
            return usize::try_from(unsafe { libc::CPU_COUNT(&set) }).unwrap_or(1).max(1);
        }
    }
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// The default of GOMAXPROCS: the CPUs, or what the cgroup's quota leaves of them, but 2 at least (Go 1.25).
pub(crate) fn default_procs() -> usize {
    let cpus = num_cpu();
    match cgroup_quota() {
        Some(quota) => cpus.min((quota.ceil() as usize).max(2)),
        None => cpus,
    }
}

/// What the paths below begin with: nothing, but in tests.
static ROOT: OnceLock<String> = OnceLock::new();

/// Looks for the cgroup's files below `root`; for tests. Before the first look only.
pub(crate) fn set_cgroup_root(root: String) {
    let _ = ROOT.set(root);
}

/// The CPU quota of this process's cgroup, in CPUs. `None` where there is no limit, or none to be found.
fn cgroup_quota() -> Option<f64> {
    let root = ROOT.get_or_init(String::new);
    let read = |path: &str| std::fs::read_to_string(format!("{root}{path}")).ok();
    let membership = read("/proc/self/cgroup")?;
    quota_v2(&membership, &read).or_else(|| quota_v1(&membership, &read))
}

/// Version 2: `cpu.max` holds "quota period" or "max period"; the tightest of the group and its parents counts.
fn quota_v2(membership: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<f64> {
    let mut path = membership.lines().find_map(|l| l.strip_prefix("0::"))?.trim_end_matches('/').to_string();
    let mut least: Option<f64> = None;
    loop {
        if let Some(text) = read(&format!("/sys/fs/cgroup{path}/cpu.max")) {
            let mut words = text.split_whitespace();
            let (quota, period) = (words.next(), words.next().and_then(|p| p.parse::<f64>().ok()));
            if let (Some(Ok(q)), Some(p)) = (quota.map(str::parse::<f64>), period)
                && let Some(cpus) = ratio(q, p)
            {
                least = Some(least.map_or(cpus, |l| l.min(cpus)));
            }
        }
        match path.rfind('/') {
            Some(i) => path.truncate(i),
            None => return least,
        }
    }
}

/// Version 1: two files; a quota of -1 is none.
fn quota_v1(membership: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<f64> {
    let path = membership.lines().find_map(|l| {
        let mut parts = l.splitn(3, ':').skip(1);
        parts.next()?.split(',').any(|c| c == "cpu").then_some(())?;
        parts.next()
    })?;
    let number = |file: &str| {
        let at = |dir: &str| read(&format!("/sys/fs/cgroup/cpu{dir}/{file}"));
        at(path.trim_end_matches('/')).or_else(|| at(""))?.trim().parse::<f64>().ok()
    };
    let (quota, period) = (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?);
    ratio(quota, period)
}

/// A quota in CPUs. `None` where the numbers make none: a quota of -1, or what is no number at all.
fn ratio(quota: f64, period: f64) -> Option<f64> {
    Some(quota / period).filter(|cpus| quota > 0.0 && period > 0.0 && cpus.is_finite() && *cpus > 0.0)
}

/// Threads of this process, where the system tells.
pub(crate) fn num_threads() -> Option<usize> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        // A directory's link count: itself, its parent's entry, and one for each subdirectory.
        std::fs::metadata("/proc/self/task").ok().map(|m| (m.nlink() as usize).saturating_sub(2))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Brings the line at this address into the cache, in good time or never: a hint, whatever the address.
#[inline(always)]
pub(crate) fn prefetch(addr: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: it reads nothing that the program could see, and does not fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(addr)) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) addr, options(nostack, preserves_flags, readonly))
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = addr;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn files(list: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        files_of(&list.iter().map(|(p, t)| (*p, t.to_string())).collect::<Vec<_>>())
    }

    fn files_of(list: &[(&str, String)]) -> impl Fn(&str) -> Option<String> + use<> {
        let map: HashMap<String, String> = list.iter().map(|(p, t)| (p.to_string(), t.clone())).collect();
        move |p| map.get(p).cloned()
    }

    #[test]
    fn v2_takes_the_tightest_of_the_group_and_its_parents() {
        let read = files(&[
            ("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/cpu.max", "800000 100000\n"),
        ]);
        assert_eq!(quota_v2("0::/a/b\n", &read), Some(1.5));
        assert_eq!(quota_v2("0::/\n", &read), Some(8.0));
        assert_eq!(quota_v2("0::/other\n", &files(&[])), None);
        assert_eq!(quota_v2("2:cpu:/x\n", &read), None);
    }

    #[test]
    fn v1_reads_quota_over_period() {
        let read = files(&[
            ("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "250000\n"),
            ("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(quota_v1("4:cpu,cpuacct:/x\n", &read), Some(2.5));
        let none = files(&[
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(quota_v1("4:cpu:/\n", &none), None);
    }

    /// What stands in the files of a kernel, or nearly.
    fn near() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "max",
            "100000",
            "-1",
            "0",
            "1e400",
            "nan",
            "inf",
            "-inf",
            "0::/a/b",
            "0::",
            "4:cpu:/x",
            "4:cpu,cpuacct:/",
            ":",
            "::",
            "/",
            "//",
            " ",
            "\n",
        ]);
        prop_oneof![
            any::<String>(),
            prop::collection::vec(word, 0..12).prop_map(|words| words.concat()),
            prop::collection::vec(
                prop::sample::select(vec!["max", "50000", "inf", "1e400", "nan", "-3", "0", "1e300"]),
                0..4
            )
            .prop_map(|words| words.join(" ")),
        ]
    }

    proptest! {
        #[test]
        fn whatever_the_files_hold_a_quota_is_a_number_of_cpus(
            membership in near(), file in near(), other in near(),
        ) {
            let read = |path: &str| {
                if path.contains("period") { Some(other.clone()) } else { Some(file.clone()).filter(|f| f.len() % 5 != 4) }
            };
            for quota in [quota_v2(&membership, &read), quota_v1(&membership, &read)].into_iter().flatten() {
                prop_assert!(quota > 0.0 && quota.is_finite(), "{}", quota);
            }
        }

        #[test]
        fn a_quota_that_is_meant_is_understood(quota in 1000u64..10_000_000, period in 1000u64..1_000_000) {
            let expected = Some(quota as f64 / period as f64);
            let v2 = files_of(&[("/sys/fs/cgroup/g/cpu.max", format!("{quota} {period}\n"))]);
            prop_assert_eq!(quota_v2("1:name=systemd:/\n0::/g\n", &v2), expected);
            let v1 = files_of(&[
                ("/sys/fs/cgroup/cpu/g/cpu.cfs_quota_us", format!("{quota}\n")),
                ("/sys/fs/cgroup/cpu/g/cpu.cfs_period_us", format!("{period}\n")),
            ]);
            prop_assert_eq!(quota_v1("3:cpu,cpuacct:/g\n", &v1), expected);
        }
    }

    #[test]
    fn there_is_a_cpu_and_a_thread() {
        assert!(num_cpu() >= 1 && default_procs() >= 1);
        assert!(num_threads().is_none_or(|n| n >= 1));
    }
}
