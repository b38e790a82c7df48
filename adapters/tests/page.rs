//! The page of `debug::serve` in a real browser, Chromium without a window, while ten thousand goroutines work: it is drawn,
//! its slow motion plays, nothing in it fails, and its memory does not grow.
//!
//! The browser is told what to do by its DevTools protocol, JSON over a WebSocket: tungstenite over our sockets. (Thread-
//! locals: websocket.rs.) `GOSCHED_PAGE_SECONDS=60` looks at its memory for longer; `GOSCHED_PAGE_PICTURES=directory` keeps
//! pictures.
#![cfg(all(debug_assertions, target_os = "linux"))]

#[path = "../../examples/watch.rs"]
#[allow(dead_code)]
mod watch;

use gosched::net::TcpStream;
use gosched::{debug, go, syscall, time};
use gosched_adapters::{on_goroutine, patience, tool};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket, client};

const GOROUTINES: usize = 10_000;

struct Browser {
    child: Child,
    home: PathBuf,
    ws: WebSocket<TcpStream>,
    calls: u64,
    /// What went wrong in the page.
    failures: Vec<Value>,
}

impl Browser {
    fn start(program: &PathBuf) -> Browser {
        let home = std::env::temp_dir().join(format!("gosched-page-{}", std::process::id()));
        // It must not take the machine from the program that it looks at; and a sandbox is more than a test may ask for.
        let mut child = Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"])
            .args(["--window-size=1300,1000", "about:blank"])
            .arg(format!("--user-data-dir={}", home.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it is there");
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        let port: u16 = syscall(|| {
            let mut line = String::new();
            loop {
                line.clear();
                assert_ne!(said.read_line(&mut line).unwrap(), 0, "the browser ends");
                if let Some((_, url)) = line.split_once("DevTools listening on ws://127.0.0.1:") {
                    break url.split('/').next().unwrap().parse().unwrap();
                }
            }
        });
        // What it says further is nobody's business, but it must find a reader.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let url = loop {
            let pages = get(addr, "/json/list");
            let page = pages.as_array().and_then(|p| p.iter().find(|p| p["type"] == "page"));
            if let Some(url) = page.and_then(|p| p["webSocketDebuggerUrl"].as_str()) {
                break url.to_string();
            }
            time::sleep(Duration::from_millis(50));
        };
        let (ws, _) = client(url.as_str(), TcpStream::connect(addr).unwrap()).unwrap();
        let mut b = Browser { child, home, ws, calls: 0, failures: Vec::new() };
        for domain in ["Runtime", "Page", "Log", "HeapProfiler"] {
            b.call(&format!("{domain}.enable"), json!({}));
        }
        b
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let call = json!({"id": self.calls, "method": method, "params": params});
        self.ws.send(Message::text(call.to_string())).unwrap();
        loop {
            let m = self.ws.read().unwrap();
            let Ok(text) = m.to_text() else { continue };
            let Ok(said) = serde_json::from_str::<Value>(text) else { continue };
            let failed = said["method"] == "Runtime.exceptionThrown"
                || said["method"] == "Log.entryAdded" && said["params"]["entry"]["level"] == "error";
            if failed {
                self.failures.push(said);
            } else if said["id"] == self.calls {
                return said["result"].clone();
            }
        }
    }

    fn js(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        self.call("Runtime.evaluate", params)["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    fn until(&mut self, expression: &str) {
        let began = Instant::now();
        while self.js(expression) != true {
            assert!(self.failures.is_empty(), "{:?}", self.failures);
            assert!(began.elapsed() < patience(), "never: {expression}");
            time::sleep(Duration::from_millis(100));
        }
    }

    /// Bytes that the page's objects take.
    fn heap(&mut self) -> i64 {
        for _ in 0..2 {
            self.call("HeapProfiler.collectGarbage", json!({}));
        }
        self.call("Runtime.getHeapUsage", json!({}))["usedSize"].as_f64().expect("a number") as i64
    }

    fn picture(&mut self, name: &str) {
        let Some(dir) = std::env::var_os("GOSCHED_PAGE_PICTURES") else { return };
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"}));
        std::fs::write(PathBuf::from(dir).join(name), unbase64(picture["data"].as_str().unwrap())).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = syscall(|| self.child.wait());
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

fn get(addr: SocketAddr, path: &str) -> Value {
    let mut s = TcpStream::connect(addr).unwrap();
    write!(s, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").unwrap();
    let mut head = BufReader::new(s);
    let (mut line, mut len) = (String::new(), 0);
    while head.read_line(&mut line).unwrap() > 2 {
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = n.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; len];
    head.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn unbase64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut n) = (Vec::new(), 0u32, 0);
    for digit in text.bytes().filter_map(|c| DIGITS.iter().position(|&d| d == c)) {
        (bits, n) = (bits << 6 | digit as u32, n + 6);
        if n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
        }
    }
    out
}

#[test]
fn chromium_draws_ten_thousand_goroutines() {
    let Some(chromium) = tool("chromium") else { return };
    on_goroutine(move || {
        let server = debug::serve("127.0.0.1:0").unwrap();
        (0..GOROUTINES * 2 / 3).for_each(|i| go(move || watch::one(i)));
        let mut b = Browser::start(&chromium);
        b.call("Page.navigate", json!({"url": format!("http://{}/", server.local_addr())}));
        b.until("document.getElementById('state')?.textContent === 'live'");
        b.until(&format!(
            "before !== null && before.goroutines >= {GOROUTINES} && before.waiting.length >= 2"
        ));
        b.until("document.querySelectorAll('#waits .box').length >= 2 && document.querySelectorAll('#ps .box').length > 0");
        b.until("document.getElementById('log').childElementCount > 3");
        b.picture("live.png");

        // Slow motion: what was recorded is shown, event by event.
        b.js("document.getElementById('speed').value = '40'; document.getElementById('record').click()");
        b.until("events.length > 20 && at > 20");
        let shown = "document.querySelectorAll('#replay .chip').length > 0 && !document.getElementById('replay').hidden";
        assert_eq!(b.js(shown), true);
        let said = b.js("document.getElementById('rlog').textContent");
        assert!(said.as_str().unwrap().contains(" runs it, on M"), "{said}");
        b.picture("slow-motion.png");
        b.js("document.getElementById('close').click()");
        b.until("document.getElementById('replay').hidden && !document.getElementById('live').hidden");

        // The same number of goroutines, pictures all the time: what is kept of them does not grow.
        let seconds = std::env::var("GOSCHED_PAGE_SECONDS").map_or(3, |s| s.parse().expect("a number"));
        time::sleep(Duration::from_secs(1));
        let first = b.heap();
        time::sleep(Duration::from_secs(seconds));
        let last = b.heap();
        println!("the page's heap: {first} bytes, {seconds} s later {last}");
        assert!(last - first < 300_000, "{first} bytes, then {last}");
        assert!(b.failures.is_empty(), "{:?}", b.failures);
    });
}
