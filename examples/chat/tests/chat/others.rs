//! Clients that share nothing with us: python3 with nothing but its standard library, and curl.

use crate::process::{Chat, Dir};
use crate::programs::tool;
use std::process::Command;

/// RFC 6455 once more, in another language.
const PYTHON: &str = r#"
import base64, hashlib, json, os, socket, struct, sys

def enter(room, name):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
    key = base64.b64encode(os.urandom(16))
    s.sendall(b"GET /ws?room=%s&name=%s HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n" % (room, name, key))
    f = s.makefile("rb")
    assert f.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
    fields = {}
    while (line := f.readline()) != b"\r\n":
        name, value = line.split(b":", 1)
        fields[name.lower()] = value.strip()
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    assert fields[b"sec-websocket-accept"] == accept, fields
    assert fields[b"upgrade"].lower() == b"websocket" and fields[b"connection"].lower() == b"upgrade", fields
    return s, f

def send(s, op, payload, fin=True):
    mask = os.urandom(4)
    n = len(payload)
    head = bytes([(0x80 if fin else 0) | op])
    head += bytes([0x80 | n]) if n < 126 else bytes([0x80 | 126]) + struct.pack(">H", n)
    s.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

def recv(f):
    first, n = f.read(2)
    assert n < 128, "masked"
    if n == 126:
        n, = struct.unpack(">H", f.read(2))
    elif n == 127:
        n, = struct.unpack(">Q", f.read(8))
    return first, f.read(n)

def until(f, key):
    while True:
        first, payload = recv(f)
        assert first == 0x81, (first, payload)
        event = json.loads(payload)
        if key in event:
            return event

a, af = enter(b"py%20room", b"ann")
assert until(af, "you") == {"you": "ann", "room": "py room", "members": 1}
b, bf = enter(b"py+room", b"bob")
until(bf, "you")
text = "grüße \U0001f600 " + "x" * 1000
send(a, 1, text.encode()[:7], fin=False)
send(a, 9, b"there?")
send(a, 0, text.encode()[7:])
first, payload = recv(af)
while first == 0x81:
    first, payload = recv(af)
assert (first, payload) == (0x8a, b"there?"), (first, payload)
for f in (af, bf):
    event = until(f, "text")
    assert (event["from"], event["text"], event["id"]) == ("ann", text, 1), event
send(b, 8, struct.pack(">H", 1001) + "bis später".encode())
while (frame := recv(bf))[0] == 0x81:
    pass
assert frame == (0x88, struct.pack(">H", 1001) + "bis später".encode()), frame
assert bf.read() == b"", "something behind the close"
assert until(af, "left") == {"left": "bob", "members": 1}
send(a, 1, b"\xff")
first, payload = recv(af)
assert first == 0x88 and struct.unpack(">H", payload[:2]) == (1007,), payload
assert af.read() == b""
print("done")
"#;

#[test]
fn python_speaks_to_it() {
    let Some(python) = tool("python3") else { return };
    let chat = Chat::start(&Dir::new(), &[]);
    let (ip, port) = (chat.addr.ip().to_string(), chat.addr.port().to_string());
    let out = Command::new(python).args(["-c", PYTHON, &ip, &port]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "done\n", "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn curl_is_let_in_and_refused() {
    let Some(curl) = tool("curl") else { return };
    let chat = Chat::start(&Dir::new(), &[]);
    let ask = |args: &[&str], path: &str| {
        let url = format!("http://{}{path}", chat.addr);
        let out = Command::new(&curl)
            .args(["-sS", "-i", "-m", "80", "--noproxy", "*", "--http1.1"])
            .args(args)
            .arg(url)
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let page = ask(&[], "/");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.trim_end().ends_with("</html>"), "{page:.300}");
    assert!(page.contains("\r\nContent-Security-Policy: "), "{page:.300}");
    assert!(ask(&[], "/nothing").starts_with("HTTP/1.1 404 "));
    assert!(ask(&[], "/ws?room=r&name=n").starts_with("HTTP/1.1 400 "));
    assert!(ask(&["-d", "x=y"], "/").starts_with("HTTP/1.1 405 "));
    let upgrade: Vec<&str> = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        .iter()
        .chain(&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
        .flat_map(|field| ["-H", field])
        .chain(["-m", "2"])
        .collect();
    let entered = ask(&upgrade, "/ws?room=r&name=curl");
    assert!(entered.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{entered}");
    assert!(
        entered.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{entered}"
    );
    chat.lives();
}
