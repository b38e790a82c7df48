//! The network in memory, under many schedules: no byte is lost, doubled or out of order, whatever the faults; what breaks
//! says so on both sides; closes and limits end calls that are parked.

use gosched_runtime::{go, spawn};
use gosched_testing::net::{Faults, Net, Stream};
use gosched_testing::{Config, explore, now, virtual_time};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn bad_network() -> Faults {
    Faults::none().short_io(true).latency(Duration::ZERO..SECOND)
}

/// Echoes lines until the end.
fn serve(stream: Stream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        (&stream).write_all(line.as_bytes())?;
        line.clear();
    }
    Ok(())
}

#[test]
fn an_echo_server_over_a_bad_network() {
    explore(Config::new().iterations(150), || {
        let net = Net::new(bad_network());
        let listener = net.listen("10.0.0.1:7").unwrap();
        let server = spawn(move || {
            let serving: Vec<_> =
                (0..2).map(|_| listener.accept().unwrap().0).map(|s| spawn(|| serve(s))).collect();
            serving.into_iter().for_each(|s| s.join().unwrap().unwrap());
        });
        let clients = [1, 2].map(|n| {
            let net = net.clone();
            spawn(move || {
                let stream = net.connect("10.0.0.1:7").unwrap();
                let sent: String = (0..5).map(|i| format!("line {i} of {n}\n")).collect();
                (&stream).write_all(sent.as_bytes()).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut got = String::new();
                (&stream).read_to_string(&mut got).unwrap();
                assert_eq!(got, sent);
            })
        });
        clients.into_iter().for_each(|c| c.join().unwrap());
        server.join().unwrap();
    });
}

#[test]
fn a_connection_that_breaks_does_so_on_both_sides() {
    explore(Config::new().iterations(300), || {
        let (mut a, mut b) = Net::new(bad_network().lose_one_in(20)).pair();
        let reader = spawn(move || {
            let mut got = Vec::new();
            (b.read_to_end(&mut got).map_err(|e| e.kind()), got)
        });
        let bytes: Vec<u8> = (0..60).collect();
        let sent = a.write_all(&bytes).map_err(|e| e.kind());
        drop(a);
        let (end, got) = reader.join().unwrap();
        assert!(bytes.starts_with(&got));
        match sent {
            Ok(()) => assert_eq!((end, got.len()), (Ok(60), 60)),
            Err(e) => assert_eq!((e, end), (ErrorKind::ConnectionReset, Err(ErrorKind::ConnectionReset))),
        }
    });
}

#[test]
fn a_writer_waits_for_room() {
    explore(Config::new().iterations(20), || {
        let (mut a, mut b) = Net::new(Faults::none()).pair();
        let writer = spawn(move || a.write_all(&[7; 200_000]).unwrap());
        let mut got = Vec::new();
        b.read_to_end(&mut got).unwrap();
        assert!(got.len() == 200_000 && got.iter().all(|&x| x == 7));
        writer.join().unwrap();
    });
}

#[test]
fn close_ends_calls_that_are_parked() {
    explore(Config::new().iterations(300), || {
        let net = Net::new(Faults::none());
        let listener = net.listen("10.0.0.1:7").unwrap();
        let (a, b) = net.pair();
        let (theirs, full) = (a.try_clone().unwrap(), a.try_clone().unwrap());
        let reads = spawn(move || (&theirs).read(&mut [0; 9]).unwrap_err().kind());
        let writes = spawn(move || (&full).write_all(&[0; 1 << 20]).unwrap_err().kind());
        let accepts = std::sync::Arc::new(listener);
        let closes = accepts.clone();
        let accept = spawn(move || accepts.accept().map(drop).unwrap_err().kind());
        go(move || {
            a.close().unwrap();
            closes.close().unwrap();
        });
        for g in [reads, writes, accept] {
            assert!(matches!(g.join().unwrap(), ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe));
        }
        drop(b);
    });
}

#[test]
fn limits_are_kept_by_the_clock_and_can_be_moved() {
    virtual_time(|| {
        let (a, b) = Net::new(Faults::none()).pair();
        let start = now();
        a.set_read_deadline(Some(start + 100 * SECOND)).unwrap();
        let mover = a.try_clone().unwrap();
        go(move || {
            gosched_runtime::sleep(SECOND);
            mover.set_read_deadline(Some(start + 3 * SECOND)).unwrap();
        });
        assert_eq!((&a).read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(now() - start, 3 * SECOND);
        a.set_read_deadline(None).unwrap();
        a.set_write_timeout(Some(5 * SECOND)).unwrap();
        assert_eq!((&a).write_all(&[0; 1 << 20]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(now() - start, 8 * SECOND);
        assert_eq!(a.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
        drop(b);
        assert_eq!((&a).write(&[0]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_full_backlog_refuses_and_an_end_leaves_what_was_sent() {
    virtual_time(|| {
        let net = Net::new(Faults::none());
        let listener = net.listen("10.0.0.1:7").unwrap();
        let waiting: Vec<_> = (0..128).map(|_| net.connect("10.0.0.1:7").unwrap()).collect();
        assert_eq!(net.connect("10.0.0.1:7").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let (mut first, _) = listener.accept().unwrap();
        (&waiting[0]).write_all(b"last words").unwrap();
        drop(waiting);
        let mut text = String::new();
        first.read_to_string(&mut text).unwrap();
        assert_eq!(text, "last words");
    });
}
