//! q
use gosched_runtime::sync::WaitGroup;
use gosched_runtime::*;
use std::time::Instant;
fn main() {
    let procs: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    // SAFETY: x
    unsafe {
        Config::new().procs(procs).run(|| {
            for _ in 0..3 {
                let t = Instant::now();
                let n = 300;
                for _ in 0..n {
                    let wg = WaitGroup::new();
                    wg.add(1000);
                    for _ in 0..1000 {
                        let w = wg.clone();
                        go(move || w.done());
                    }
                    wg.wait();
                }
                println!("spawn {:.1}", t.elapsed().as_nanos() as f64 / (n * 1000) as f64);
                let t = Instant::now();
                let wg = WaitGroup::new();
                for _ in 0..2 {
                    wg.add(1);
                    let w = wg.clone();
                    go(move || {
                        for _ in 0..500_000 {
                            yield_now()
                        }
                        w.done()
                    });
                }
                wg.wait();
                println!("yield2 {:.1}", t.elapsed().as_nanos() as f64 / 1e6);
                let t = Instant::now();
                let wg = WaitGroup::new();
                for _ in 0..1000 {
                    wg.add(1);
                    let w = wg.clone();
                    go(move || {
                        for _ in 0..1000 {
                            yield_now()
                        }
                        w.done()
                    });
                }
                wg.wait();
                println!("yield1000 {:.1}", t.elapsed().as_nanos() as f64 / 1e6);
                let t = Instant::now();
                let hs: Vec<_> = (0..100_000).map(|_| spawn(|| 1)).collect();
                let s: i32 = hs.into_iter().map(|h| h.join().unwrap()).sum();
                assert_eq!(s, 100_000);
                println!("spawn+join {:.1}", t.elapsed().as_nanos() as f64 / 1e5);
            }
        })
    };
}
