//! Where nobody has set it, GOMAXPROCS follows the cgroup's quota while the program runs.
//!
//! The test starts itself again, with files of its own in the place of the cgroup's.

use gosched_runtime::{gomaxprocs, run, set_gomaxprocs, sleep};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const ROOT: &str = "GOSCHED_TEST_CGROUP";

fn set_quota(root: &Path, text: &str) {
    std::fs::write(root.join("sys/fs/cgroup/box/cpu.max"), text).unwrap();
}

fn wait_for(procs: usize) {
    let t = Instant::now();
    while gomaxprocs() != procs {
        assert!(t.elapsed() < Duration::from_secs(60), "still {} instead of {procs}", gomaxprocs());
        sleep(Duration::from_millis(5));
    }
}

fn child(root: &Path) {
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| {
            assert_eq!(gomaxprocs(), 16, "no limit at the start");
            set_quota(root, "320000 100000\n");
            wait_for(4);
            // Two at least, as in Go.
            set_quota(root, "100000 100000\n");
            wait_for(2);
            set_quota(root, "max 100000\n");
            wait_for(16);
            // Who sets it has it.
            set_gomaxprocs(5);
            set_quota(root, "150000 100000\n");
            let until = Instant::now() + Duration::from_millis(2500);
            while Instant::now() < until {
                assert_eq!(gomaxprocs(), 5);
                sleep(Duration::from_millis(20));
            }
        })
    };
}

#[test]
fn gomaxprocs_follows_the_quota_until_it_is_set() {
    if let Some(root) = std::env::var_os(ROOT) {
        return child(Path::new(&root));
    }
    let root = std::env::temp_dir().join(format!("gosched-cgroup-{}", std::process::id()));
    std::fs::create_dir_all(root.join("proc/self")).unwrap();
    std::fs::create_dir_all(root.join("sys/fs/cgroup/box")).unwrap();
    std::fs::write(root.join("proc/self/cgroup"), "0::/box\n").unwrap();
    set_quota(&root, "max 100000\n");
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "gomaxprocs_follows_the_quota_until_it_is_set", "--nocapture"])
        .env(ROOT, &root)
        .env("GODEBUG", format!("cpus=16,cgrouproot={}", root.display()))
        .env_remove("GOMAXPROCS")
        .output()
        .unwrap();
    std::fs::remove_dir_all(&root).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
