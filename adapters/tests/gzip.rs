//! flate2 around our streams: compressed connections, which the program gzip must understand as well.
//!
//! Thread-locals: none. flate2 and miniz_oxide keep window, tables and buffers in the encoder or decoder.
//!
//! Stack: miniz_oxide builds a compressor's tables (some 200 KiB) as a value that it then boxes. Without optimization
//! that value is on the stack for a moment, and a goroutine of 256 KiB is too small: `fatal error: stack overflow`.
//! Hence `stack_size` here. It is address space; memory is taken as far as it is used.

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use gosched::net::{TcpStream, UnixStream};
use gosched::{Config, scope};
use gosched_adapters::{Server, WAITERS, data, on_goroutine_with, pair, run_tool, tool, while_waiting};
use std::io::{self, BufReader, Read, Write};

fn on_large_stacks(f: impl FnOnce() + Send + 'static) {
    on_goroutine_with(Config::new().stack_size(1 << 20), f);
}

#[test]
fn compressed_both_ways() {
    on_large_stacks(|| {
        let server = Server::start(|stream| {
            let mut plain = Vec::new();
            GzDecoder::new(BufReader::new(&stream)).read_to_end(&mut plain).unwrap();
            plain.reverse();
            let mut out = GzEncoder::new(&stream, Compression::fast());
            out.write_all(&plain).unwrap();
            out.finish().unwrap();
        });
        let addr = server.addr;
        scope(|s| {
            for c in 0..8 {
                s.spawn(move || {
                    let stream = TcpStream::connect(addr).unwrap();
                    // Half of it noise, half of it compressible.
                    let mut sent = data(c, 100_000);
                    sent.resize(200_000, c as u8);
                    let mut out = GzEncoder::new(&stream, Compression::default());
                    io::copy(&mut &sent[..], &mut out).unwrap();
                    out.finish().unwrap();
                    let mut got = Vec::new();
                    GzDecoder::new(&stream).read_to_end(&mut got).unwrap();
                    got.reverse();
                    assert!(got == sent);
                });
            }
        });
        // A flush sends what there is: the reader has it before the stream ends.
        let (client, server) = pair();
        let mut out = flate2::write::ZlibEncoder::new(&client, Compression::default());
        let mut plain = flate2::read::ZlibDecoder::new(&server);
        for round in 0..10u8 {
            out.write_all(&[round; 1_000]).unwrap();
            out.flush().unwrap();
            let mut got = [0; 1_000];
            plain.read_exact(&mut got).unwrap();
            assert_eq!(got, [round; 1_000]);
        }
    });
}

#[test]
fn gzip_reads_what_came_over_a_socket() {
    let Some(gzip) = tool("gzip") else { return };
    on_large_stacks(move || {
        let (client, server) = pair();
        let sent = data(3, 100_000);
        let writer = gosched::spawn({
            let sent = sent.clone();
            move || {
                let mut out = GzEncoder::new(client, Compression::best());
                out.write_all(&sent).unwrap();
                out.finish().unwrap();
            }
        });
        let file = std::env::temp_dir().join(format!("gosched-{}.gz", std::process::id()));
        io::copy(&mut &server, &mut std::fs::File::create(&file).unwrap()).unwrap();
        writer.join().unwrap();
        let out = run_tool(&gzip, &["-dc", &file.display().to_string()]).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(out.status.success() && out.stdout == sent);
    });
}

#[test]
fn decoders_that_wait_are_parked() {
    on_large_stacks(|| {
        let (clients, servers): (Vec<_>, Vec<_>) = (0..WAITERS).map(|_| UnixStream::pair().unwrap()).unzip();
        let waits = servers
            .into_iter()
            .map(|s| {
                move || {
                    let mut text = String::new();
                    GzDecoder::new(s).read_to_string(&mut text).unwrap();
                    text.parse::<usize>().unwrap()
                }
            })
            .collect();
        let got = while_waiting(waits, move || {
            for (i, c) in clients.into_iter().enumerate() {
                let mut out = GzEncoder::new(c, Compression::default());
                write!(out, "{i}").unwrap();
                out.finish().unwrap();
            }
        });
        assert!(got.into_iter().eq(0..WAITERS));
    });
}
