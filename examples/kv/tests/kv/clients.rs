//! redis-cli and redis-benchmark.

use crate::process::{Dir, Kv};
use crate::programs::tool;
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn redis_cli_speaks_to_it() {
    let Some(cli) = tool("redis-cli") else { return };
    let kv = Kv::start(&Dir::new(), &[]);
    let (host, port) = (kv.addr.ip().to_string(), kv.addr.port().to_string());
    let script = "PING\nSET greeting \"hello, world\"\nGET greeting\nGET nothing\nRPUSH l a b c\nLRANGE l 0 -1\n\
                  HSET h f v\nHGETALL h\nINCR greeting\nMULTI\nINCR n\nINCR n\nEXEC\nFLY\nSELECT 1\nDBSIZE\nTTL l\n";
    let expected = "PONG\nOK\nhello, world\n\n3\na\nb\nc\n1\nf\nv\n\
                    ERR value is not an integer or out of range\n\nOK\nQUEUED\nQUEUED\n1\n2\nERR unknown command 'FLY'\n\n\
                    ERR DB index is out of range\n\n4\n-1\n";
    for more in [&[][..], &["-3"][..]] {
        let mut child = Command::new(&cli)
            .args(["-h", &host, "-p", &port])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(format!("FLUSHALL\n{script}").as_bytes()).unwrap();
        let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        // redis-cli prints a map as pairs in a line.
        let out = out.replace("f v\n", "f\nv\n");
        assert_eq!(out, format!("OK\n{expected}"), "{more:?}");
    }
}

#[test]
fn redis_benchmark_runs() {
    let Some(benchmark) = tool("redis-benchmark") else { return };
    let dir = Dir::new();
    let kv = Kv::logging(&dir, "everysec", &[]);
    let (host, port) = (kv.addr.ip().to_string(), kv.addr.port().to_string());
    for pipeline in ["1", "16"] {
        let out = Command::new(&benchmark)
            .args([
                "-h", &host, "-p", &port, "-c", "10", "-n", "640", "-r", "100", "-P", pipeline, "--csv", "-t",
            ])
            .arg("ping,set,get,incr,lpush,rpush,lpop,rpop,hset,lrange_100,mset")
            .output()
            .unwrap();
        let (text, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success() && !text.contains("rror") && !errors.contains("rror"), "{text}{errors}");
        for test in
            ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPOP", "HSET", "LRANGE_100", "MSET"]
        {
            assert!(text.contains(&format!("\"{test}")), "no {test} in {text}");
        }
    }
    assert!(kv.info("total_commands_processed") > 640 * 2 * 10);
    assert!(kv.stop().success());
}
