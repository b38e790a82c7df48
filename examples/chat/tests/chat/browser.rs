//! Chromium without a window, told what to do by its DevTools protocol: JSON over a WebSocket for each page.

use crate::process::Dir;
use crate::programs::{Killed, connect, patience};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket, client};

pub struct Browser {
    _child: Killed,
    addr: SocketAddr,
    _home: Dir,
}

pub struct Page {
    ws: WebSocket<TcpStream>,
    calls: u64,
    /// What went wrong in the page.
    pub failures: Vec<Value>,
}

impl Browser {
    pub fn start(program: &Path) -> Browser {
        let home = Dir::new();
        // A sandbox is more than a test may ask for.
        let mut child = Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server"])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", home.0.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let port: u16 = loop {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "the browser ends");
            if let Some((_, url)) = line.split_once("DevTools listening on ws://127.0.0.1:") {
                break url.split('/').next().unwrap().parse().unwrap();
            }
        };
        // What it says further is nobody's business, but it must find a reader.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Browser { _child: Killed(child), addr: SocketAddr::from(([127, 0, 0, 1], port)), _home: home }
    }

    /// A new page.
    pub fn page(&self, url: &str) -> Page {
        let about = self.ask("PUT", "/json/new?about:blank");
        let debugger = about["webSocketDebuggerUrl"].as_str().unwrap();
        let (ws, _) = client(debugger, connect(self.addr)).unwrap();
        let mut page = Page { ws, calls: 0, failures: Vec::new() };
        for domain in ["Runtime", "Page", "Log"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.call("Page.navigate", json!({"url": url}));
        page
    }

    fn ask(&self, method: &str, path: &str) -> Value {
        let mut s = connect(self.addr);
        write!(s, "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.addr).unwrap();
        let mut answer = BufReader::new(s);
        let (mut line, mut len) = (String::new(), 0);
        while answer.read_line(&mut line).unwrap() > 2 {
            if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                len = n.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; len];
        answer.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&body)))
    }
}

impl Page {
    pub fn call(&mut self, method: &str, params: Value) -> Value {
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

    pub fn js(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        self.call("Runtime.evaluate", params)["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&mut self, expression: &str) {
        let began = Instant::now();
        while self.js(expression) != true {
            let text = "document.body.innerText";
            assert!(
                began.elapsed() < patience(),
                "never: {expression}\n{}\n{:?}",
                self.js(text),
                self.failures
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Types, and presses Enter, as a person does.
    pub fn types(&mut self, id: &str, text: &str) {
        self.js(&format!(
            "document.getElementById('{id}').focus(); document.getElementById('{id}').select()"
        ));
        self.call("Input.insertText", json!({"text": text}));
        for kind in ["keyDown", "keyUp"] {
            let key = json!({"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"});
            self.call("Input.dispatchKeyEvent", key);
        }
    }
}
