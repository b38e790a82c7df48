//! Many threads, every kind of operation: each value arrives exactly once, nobody is left asleep.
mod common;
use common::*;
use gosched_chan::*;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How many values each sender sends; more by `CHAN_STRESS`.
fn rounds() -> usize {
    std::env::var("CHAN_STRESS").ok().and_then(|s| s.parse().ok()).unwrap_or(300)
}

type SendBy = fn(&Chan<Counted>, Counted, usize);
type RecvBy = fn(&Chan<Counted>, usize) -> Option<Counted>;

/// A wait that often, but not always, ends by the deadline. Never zero: two polls would not meet without a buffer.
fn short(i: usize) -> Duration {
    Duration::from_micros(15 + (i % 40) as u64)
}

/// Sends in every way there is. Each must deliver.
const SENDS: [SendBy; 6] = [
    |c, v, _| c.send(v),
    |c, mut v, _| {
        while let Err(e) = c.try_send(v) {
            v = e.into_inner();
            thread::yield_now();
        }
    },
    |c, mut v, i| {
        while let Err(e) = c.send_timeout(v, short(i)) {
            v = e.into_inner();
        }
    },
    |c, v, _| {
        let (idle, nil) = (Chan::<u8>::new(0), Chan::<u8>::nil());
        select! { recv(idle) -> _ => panic!(), send(c, v) => {}, send(nil, 1) => panic!() }
    },
    |c, v, _| {
        let idle = Chan::<u8>::new(0);
        let mut s = Select::new();
        s.recv(&idle);
        s.send(c);
        s.select().send(c, v);
    },
    |c, v, i| {
        let mut s = Select::new();
        s.send(c);
        loop {
            if let Ok(op) = s.select_timeout(short(i)) {
                return op.send(c, v);
            }
        }
    },
];

/// Receives in every way there is; None: closed.
const RECVS: [RecvBy; 6] = [
    |c, _| c.recv(),
    |c, _| {
        loop {
            match c.try_recv() {
                Ok(v) => return Some(v),
                Err(TryRecvError::Closed) => return None,
                Err(TryRecvError::Empty) => thread::yield_now(),
            }
        }
    },
    |c, i| {
        loop {
            match c.recv_timeout(short(i)) {
                Ok(v) => return Some(v),
                Err(RecvTimeoutError::Closed) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    },
    |c, _| {
        let idle = Chan::<u8>::new(0);
        select! { recv(idle) -> _ => panic!(), recv(c) -> v => v, recv(c) -> v => v }
    },
    |c, i| {
        let idle = Chan::<u8>::new(0);
        loop {
            select! { recv(c) -> v => return v, recv(idle) -> _ => panic!(), default(short(i)) => {} }
        }
    },
    |c, i| {
        let clock = after(Duration::from_secs(100));
        let mut s = Select::new();
        s.recv(&clock);
        s.recv(c);
        if i % 2 == 0 {
            return s.select().recv(c);
        }
        loop {
            if let Ok(op) = s.select_timeout(short(i)) {
                return op.recv(c);
            }
        }
    },
];

fn mpmc(cap: usize, sends: &'static [SendBy], recvs: &'static [RecvBy]) {
    in_time(move || {
        let (c, census, n) = (Chan::new(cap), Census::default(), rounds());
        let senders: Vec<JoinHandle<()>> = (0..sends.len())
            .map(|k| {
                let (c, census) = (c.clone(), census.clone());
                thread::spawn(move || (0..n).for_each(|i| sends[k](&c, census.make(k * n + i), i)))
            })
            .collect();
        let receivers: Vec<JoinHandle<Vec<usize>>> = (0..recvs.len())
            .map(|k| {
                let c = c.clone();
                thread::spawn(move || {
                    let mut got = Vec::new();
                    while let Some(v) = recvs[k](&c, got.len()) {
                        got.push(v.id);
                    }
                    got
                })
            })
            .collect();
        senders.into_iter().for_each(|t| t.join().unwrap());
        c.close();
        let mut all = Vec::new();
        for t in receivers {
            let got = t.join().unwrap();
            for k in 0..sends.len() {
                let of_one = got.iter().filter(|&&id| id / n == k);
                assert!(
                    of_one.clone().zip(of_one.skip(1)).all(|(a, b)| a < b),
                    "one sender's values in order"
                );
            }
            all.extend(got);
        }
        all.sort();
        assert!(all.iter().copied().eq(0..sends.len() * n), "each value once");
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn every_way_to_send_and_receive_unbuffered() {
    mpmc(0, &SENDS, &RECVS);
}

#[test]
fn every_way_to_send_and_receive_buffered() {
    mpmc(1, &SENDS, &RECVS);
    mpmc(3, &SENDS, &RECVS);
}

#[test]
fn each_way_against_each_other() {
    for s in 0..SENDS.len() {
        for r in 0..RECVS.len() {
            mpmc((s + r) % 3, &SENDS[s..s + 1], &RECVS[r..r + 1]);
        }
    }
}

#[test]
fn selects_over_many_channels() {
    in_time(|| {
        let chans: Vec<Chan<Counted>> = (0..4).map(|i| Chan::new(i % 3)).collect();
        let (census, n) = (Census::default(), rounds());
        let senders: Vec<_> = (0..4)
            .map(|k| {
                let (c, census) = (chans.clone(), census.clone());
                thread::spawn(move || {
                    for i in 0..n {
                        let v = || census.make(0);
                        match (k + i) % 3 {
                            0 => select! { send(c[0], v()) => {}, send(c[1], v()) => {}, send(c[2], v()) => {}, send(c[3], v()) => {} },
                            1 => select! { send(c[3], v()) => {}, send(c[0], v()) => {} },
                            _ => {
                                let mut s = Select::new();
                                c.iter().for_each(|c| _ = s.send(c));
                                let op = s.select();
                                let i = op.index();
                                op.send(&c[i], v());
                            }
                        }
                    }
                })
            })
            .collect();
        let stop = Chan::<()>::new(0);
        let receivers: Vec<_> = (0..3)
            .map(|k| {
                let (c, stop) = (chans.clone(), stop.clone());
                thread::spawn(move || {
                    let mut got = 0;
                    loop {
                        let v = match (k + got) % 2 {
                            0 => select! {
                                recv(c[2]) -> v => v, recv(c[1]) -> v => v, recv(c[3]) -> v => v, recv(c[0]) -> v => v,
                                recv(stop) -> _ => None,
                            },
                            _ => {
                                let mut s = Select::new();
                                let end = s.recv(&stop);
                                c.iter().for_each(|c| _ = s.recv(c));
                                let op = s.select();
                                let i = op.index();
                                if i == end {
                                    op.recv(&stop);
                                    None
                                } else {
                                    op.recv(&c[i - 1])
                                }
                            }
                        };
                        match v {
                            Some(_) => got += 1,
                            None => return got,
                        }
                    }
                })
            })
            .collect();
        senders.into_iter().for_each(|t| t.join().unwrap());
        stop.close();
        let mut got: usize = receivers.into_iter().map(|t| t.join().unwrap()).sum();
        got += chans.iter().map(|c| c.try_iter().count()).sum::<usize>();
        assert_eq!((got, census.alive()), (4 * n, 0));
    });
}

#[test]
fn closing_in_the_middle_loses_nothing() {
    in_time(|| {
        for round in 0..rounds() {
            let (c, census) = (Chan::new(round % 3), Census::default());
            let senders: Vec<_> = (0..3)
                .map(|k| {
                    let (c, v) = (c.clone(), census.make(k));
                    let (idle, nil) = (Chan::<u8>::new(0), Chan::<u8>::nil());
                    thread::spawn(move || match k {
                        0 => c.send_checked(v).is_ok(),
                        1 => c.send_timeout(v, LONG).is_ok(),
                        _ => {
                            let mut v = Some(v);
                            loop {
                                match c.try_send(v.take().unwrap()) {
                                    Ok(()) => return true,
                                    Err(TrySendError::Closed(_)) => return false,
                                    Err(TrySendError::Full(back)) => v = Some(back),
                                }
                                select! { recv(idle) -> _ => {}, recv(nil) -> _ => {}, default(short(round)) => {} }
                            }
                        }
                    })
                })
                .collect();
            let receivers: Vec<_> = (0..2)
                .map(|k| {
                    let c = c.clone();
                    thread::spawn(move || match k {
                        0 => c.recv().is_some() as usize,
                        _ => c.recv_timeout(LONG).is_ok() as usize,
                    })
                })
                .collect();
            if round % 2 == 0 {
                thread::yield_now();
            }
            c.close();
            let sent = senders.into_iter().map(|t| t.join().unwrap() as usize).sum::<usize>();
            let got = receivers.into_iter().map(|t| t.join().unwrap()).sum::<usize>() + c.iter().count();
            assert_eq!((sent, census.alive()), (got, 0));
        }
    });
}
