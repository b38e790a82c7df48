//! The channels' part of `parking_while_unwinding.rs`: a destructor that sends, receives or selects while a panic unwinds
//! its goroutine.

mod common;
mod unwinding;
use unwinding::*;

use gosched::chan::{Chan, Select};
use gosched::select;
use std::time::Duration;

/// Never reached by a machine that works.
const LONG: Duration = Duration::from_secs(80);
const SHORT: Duration = Duration::from_micros(300);

#[test]
fn send_without_a_buffer() {
    every_way(|i| {
        let ch = Chan::new(0);
        let r = ch.receiver();
        Case::new(move || ch.send(i), move || assert_eq!(r.recv(), Some(i)))
    });
}

#[test]
fn send_into_a_full_buffer() {
    every_way(|i| {
        let ch = Chan::new(1);
        ch.send(i);
        let r = ch.receiver();
        Case::new(move || ch.send(i + 1), move || assert_eq!((r.recv(), r.recv()), (Some(i), Some(i + 1))))
    });
}

#[test]
fn send_that_a_close_ends() {
    every_way(|i| {
        let ch = Chan::new(0);
        let s = ch.sender();
        Case::new(move || assert_eq!(s.send_checked(i).unwrap_err().0, i), move || ch.close())
    });
}

#[test]
fn send_that_times_out() {
    every_way(|i| {
        let ch = Chan::new(0);
        Case::alone(move || assert!(ch.send_timeout(i, SHORT).is_err()))
    });
}

#[test]
fn receive_without_a_buffer() {
    every_way(|i| {
        let ch = Chan::new(0);
        let s = ch.sender();
        Case::new(move || assert_eq!(ch.recv(), Some(i)), move || s.send(i))
    });
}

#[test]
fn receive_from_an_empty_buffer() {
    every_way(|i| {
        let ch = Chan::new(3);
        let s = ch.sender();
        Case::new(
            move || assert_eq!((ch.recv(), ch.recv()), (Some(i), Some(i + 1))),
            move || (i..i + 2).for_each(|v| s.send(v)),
        )
    });
}

#[test]
fn receive_that_a_close_ends() {
    every_way(|_| {
        let ch = Chan::<u8>::new(0);
        let r = ch.receiver();
        Case::new(move || assert_eq!(r.recv(), None), move || ch.close())
    });
}

#[test]
fn receive_that_times_out() {
    every_way(|_| {
        let ch = Chan::<u8>::new(0);
        Case::alone(move || assert!(ch.recv_timeout(SHORT).is_err()))
    });
}

#[test]
fn receive_that_could_time_out() {
    every_way(|i| {
        let ch = Chan::new(0);
        let s = ch.sender();
        Case::new(move || assert_eq!(ch.recv_timeout(LONG), Ok(i)), move || s.send(i))
    });
}

#[test]
fn select_with_a_ready_case() {
    every_way(|i| {
        let (full, empty) = (Chan::new(1), Chan::<u8>::new(0));
        full.send(i);
        Case::alone(move || {
            select! {
                recv(empty) -> _ => unreachable!(),
                recv(full) -> v => assert_eq!(v, Some(i)),
            }
        })
    });
}

#[test]
fn select_that_waits_to_receive() {
    every_way(|i| {
        let (a, b) = (Chan::new(0), Chan::new(1));
        let s = if i % 2 == 0 { a.sender() } else { b.sender() };
        Case::new(
            move || {
                let v = select! {
                    recv(a) -> v => v,
                    recv(b) -> v => v,
                };
                assert_eq!(v, Some(i));
            },
            move || s.send(i),
        )
    });
}

#[test]
fn select_that_waits_to_send() {
    every_way(|i| {
        let (a, b) = (Chan::new(0), Chan::<usize>::new(0));
        let r = a.receiver();
        Case::new(
            move || {
                select! {
                    send(a, i) => {},
                    recv(b) -> _ => unreachable!(),
                }
            },
            move || assert_eq!(r.recv(), Some(i)),
        )
    });
}

#[test]
fn select_that_times_out() {
    every_way(|_| {
        let (a, b) = (Chan::<u8>::new(0), Chan::<u8>::new(0));
        Case::alone(move || {
            select! {
                recv(a) -> _ => unreachable!(),
                recv(b) -> _ => unreachable!(),
                default(SHORT) => {},
            }
        })
    });
}

#[test]
fn list_of_cases() {
    every_way(|i| {
        let chans: Vec<_> = (0..4).map(|_| Chan::new(0)).collect();
        let s = chans[i % 4].sender();
        Case::new(
            move || {
                let mut list = Select::new();
                chans.iter().for_each(|c| {
                    list.recv(c);
                });
                let chosen = list.select();
                assert_eq!((chosen.index(), chosen.recv(&chans[i % 4])), (i % 4, Some(i)));
                let mut list = Select::new();
                list.recv(&chans[0]);
                assert!(list.select_timeout(SHORT).is_err());
            },
            move || s.send(i),
        )
    });
}

#[test]
fn iteration() {
    every_way(|i| {
        let ch = Chan::new(i % 2);
        let s = ch.sender();
        Case::new(
            move || assert_eq!(ch.iter().collect::<Vec<_>>(), [1, 2, 3]),
            move || {
                (1..=3).for_each(|v| s.send(v));
                s.close();
            },
        )
    });
}
