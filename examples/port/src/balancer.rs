//! A load balancer, after the one in Rob Pike's talk "Concurrency is not parallelism".
//!
//! ```text
//!   requester ─┐                        ┌─requests─► worker ─┐
//!   requester ─┼─work─► balance(select) ┼─requests─► worker ─┼─answer─► the requester who asked
//!   requester ─┘           ▲            └─requests─► worker ─┘
//!                          └─────────────done────────────┘
//! ```
//! The balancer is one goroutine and has the workers to itself, ordered by how much each has to do: no lock. A request has the
//! channel for its answer in it, so answers do not pass through the balancer.
//!
//! ```text
//! $ cargo run --release -p gosched-example-port --bin balancer -- --requesters 100 --workers 8 --requests 1000
//! ```
//! It ends in order: the requesters have had their answers and close the work; the balancer waits for what is pending and
//! closes the workers' channels.

use clap::Parser;
use gosched::chan::{Chan, Receiver, Sender, select};
use gosched::sync::WaitGroup;
use gosched::{go, time};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Something to do, and where the answer goes. An `Err` is a panic.
struct Request {
    job: Box<dyn FnOnce() -> u64 + Send>,
    answer: Sender<thread::Result<u64>>,
}

/// Does one thing after the other.
fn worker(id: usize, requests: Receiver<Request>, done: Sender<usize>) {
    for Request { job, answer } in &requests {
        // A panic would end this goroutine, and nothing else: the requester would wait for ever.
        answer.send(catch_unwind(AssertUnwindSafe(job)));
        done.send(id);
    }
}

/// What the balancer knows of a worker.
struct Worker {
    requests: Sender<Request>,
    pending: usize,
    handled: u64,
    /// The most that was ever pending.
    most: usize,
}

struct Balancer {
    workers: Vec<Worker>,
    /// By what is pending, then by what was handled: the first one is next. (Go's program has a heap in which each worker
    /// knows its own place; a set from which one can take an entry out by its value comes to the same.)
    order: BTreeSet<(usize, u64, usize)>,
    done: Receiver<usize>,
}

impl Balancer {
    /// Starts `n` workers for so many requesters. Whoever gets a request has the least, so he never has more than his share of
    /// the requesters, and one that he has answered and not reported yet. There is room for that: the balancer never parks in
    /// `dispatch`, and takes what is done at any time.
    fn start(n: usize, requesters: usize) -> Balancer {
        let done = Chan::new(0);
        let mut workers = Vec::new();
        for id in 0..n {
            let requests = Chan::new(requesters.div_ceil(n) + 1);
            workers.push(Worker { requests: requests.sender(), pending: 0, handled: 0, most: 0 });
            let (requests, done) = (requests.receiver(), done.sender());
            go!({ worker(id, requests, done) });
        }
        Balancer { workers, order: (0..n).map(|id| (0, 0, id)).collect(), done: done.receiver() }
    }

    /// Until `work` is closed and all is done; gives back what it knows.
    fn balance(mut self, mut work: Receiver<Request>, show: Receiver<std::time::Instant>) -> Vec<Worker> {
        while !work.is_nil() || self.workers.iter().any(|w| w.pending > 0) {
            select! {
                recv(work) -> request => match request {
                    Some(request) => self.dispatch(request),
                    None => work = Chan::nil().receiver(), // never ready again
                },
                recv(self.done) -> id => self.completed(id.expect("it is never closed")),
                recv(show) -> _ => self.show(),
            }
        }
        self.workers.iter().for_each(|w| w.requests.close());
        self.workers
    }

    /// To whoever has the least to do.
    fn dispatch(&mut self, request: Request) {
        let (_, _, id) = self.order.pop_first().expect("there are workers");
        let w = &mut self.workers[id];
        w.requests.send(request);
        w.pending += 1;
        w.handled += 1;
        w.most = w.most.max(w.pending);
        self.order.insert((w.pending, w.handled, id));
    }

    fn completed(&mut self, id: usize) {
        let w = &mut self.workers[id];
        self.order.remove(&(w.pending, w.handled, id));
        w.pending -= 1;
        self.order.insert((w.pending, w.handled, id));
    }

    /// What is pending where, the average, and the variance.
    fn show(&self) {
        let pending: Vec<f64> = self.workers.iter().map(|w| w.pending as f64).collect();
        let n = pending.len() as f64;
        let average = pending.iter().sum::<f64>() / n;
        let variance = pending.iter().map(|p| (p - average).powi(2)).sum::<f64>() / n;
        let each: String = self.workers.iter().map(|w| format!("{:3}", w.pending)).collect();
        let _ = writeln!(io::stderr(), "pending {each}   average {average:.2}, variance {variance:.2}");
    }
}

/// What a requester wants to know: the smallest factor of a number above 1.
fn smallest_factor(n: u64) -> u64 {
    assert!(n > 1, "{n} has no factors");
    (2..).take_while(|f| f * f <= n).find(|f| n.is_multiple_of(*f)).unwrap_or(n)
}

/// Asks for `n` numbers, one after the other; gives how many answers were right, and how many panics.
fn requester(seed: u64, n: u64, spoilt: u64, work: &Sender<Request>) -> (u64, u64) {
    let answer = Chan::new(0);
    let (mut right, mut panics) = (0, 0);
    for i in 0..n {
        // Numbers that differ in how long they take; each `spoilt`th is one that makes the job panic.
        let wild = seed.wrapping_mul(n).wrapping_add(i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 34;
        let number = if spoilt > 0 && (i + 1) % spoilt == 0 { 0 } else { 2 + wild };
        let job = Box::new(move || smallest_factor(number));
        work.send(Request { job, answer: answer.sender() });
        match answer.recv().expect("it is never closed") {
            Ok(factor) if factor > 1 && number % factor == 0 => right += 1,
            Ok(factor) => panic!("{factor} is no factor of {number}"),
            Err(_) => panics += 1,
        }
    }
    (right, panics)
}

/// A load balancer after Rob Pike's
#[derive(Parser, Clone)]
struct Options {
    /// How many ask
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requesters: u32,
    /// How many answer
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    workers: u32,
    /// How much each of them asks
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    requests: u64,
    /// Every so many requests of a requester panic; 0: none
    #[arg(long, default_value_t = 0)]
    spoilt: u64,
    /// Show every so many milliseconds what is pending; 0: never
    #[arg(long, default_value_t = 0)]
    show: u64,
}

/// Everything; gives the workers, the right answers, the panics.
fn run(o: &Options) -> (Vec<Worker>, u64, u64) {
    let work = Chan::new(0);
    let (counts, asking) = (Chan::new(o.requesters as usize), WaitGroup::new());
    for seed in 0..u64::from(o.requesters) {
        let (work, counts, o) = (work.sender(), counts.sender(), o.clone());
        asking.go(move || counts.send(requester(seed, o.requests, o.spoilt, &work)));
    }
    let (closing, waiting) = (work.sender(), asking.clone());
    go!({
        waiting.wait();
        closing.close();
    });
    let ticker = (o.show > 0).then(|| time::Ticker::new(Duration::from_millis(o.show)));
    let show = ticker.as_ref().map_or_else(|| Chan::nil().receiver(), |t| t.receiver().clone());
    let balancer = Balancer::start(o.workers as usize, o.requesters as usize);
    let workers = balancer.balance(work.receiver(), show);
    counts.close();
    let (right, panics) = counts.iter().fold((0, 0), |(r, p), (right, panics)| (r + right, p + panics));
    (workers, right, panics)
}

fn report(o: &Options) -> io::Result<ExitCode> {
    let (workers, right, panics) = run(o);
    let mut out = io::stdout();
    writeln!(out, "worker   handled   most pending")?;
    for (id, w) in workers.iter().enumerate() {
        writeln!(out, "{id:6} {:9} {:14}", w.handled, w.most)?;
    }
    let asked = o.requests * u64::from(o.requesters);
    writeln!(out, "asked {asked}, right {right}, panics {panics}")?;
    Ok(if right + panics == asked { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn main() -> ExitCode {
    let options = Options::parse();
    // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks.
    unsafe { gosched::run(|| report(&options)) }.unwrap_or_else(|e| {
        let _ = writeln!(io::stderr(), "balancer: {e}");
        ExitCode::FAILURE
    })
}

#[test]
fn everybody_is_answered_and_the_load_is_spread() {
    let options =
        |requesters, workers, requests, spoilt| Options { requesters, workers, requests, spoilt, show: 0 };
    // SAFETY: as in main.
    unsafe {
        gosched::run(|| {
            for o in [
                options(1, 1, 1, 0),
                options(1, 7, 100, 0),
                options(50, 4, 40, 0),
                options(40, 3, 20, 5),
                options(3, 8, 0, 0),
            ] {
                let (workers, right, panics) = run(&o);
                let asked = o.requests * u64::from(o.requesters);
                let spoilt = o.requests.checked_div(o.spoilt).unwrap_or(0) * u64::from(o.requesters);
                assert_eq!((right, panics), (asked - spoilt, spoilt));
                assert_eq!(workers.iter().map(|w| w.handled).sum::<u64>(), asked);
                // Nobody is left out, and whoever gets something has the least: no more than his share, and the one that
                // he has answered, but not yet reported.
                let idle = workers.iter().filter(|w| w.handled == 0).count() as u64;
                assert_eq!(idle, u64::from(o.workers).saturating_sub(asked));
                let share = o.requesters.div_ceil(o.workers) as usize;
                assert!(workers.iter().all(|w| w.most <= share + 1 && w.pending == 0));
            }
            while gosched::num_goroutine() > 1 {
                gosched::yield_now(); // they have nothing left to do but to end
            }
            gosched::debug::assert_no_leaks();
        })
    }
}
