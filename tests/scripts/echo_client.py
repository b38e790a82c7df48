#!/usr/bin/env python3
"""A client for an echo server, in another language: what it gets back is what it sent, byte for byte.

    echo_client.py ADDR CONNS BYTES     CONNS connections at once, BYTES each way on each
    echo_client.py --short ADDR COUNT   COUNT connections, at most 64 at a time, 32 bytes each, opened and closed

One thread, non-blocking sockets, `selectors`. In the first mode all connections are open before the first byte is sent,
and no side waits for the other: it writes what the socket takes and reads what has come. Exit: 0 and one line of
numbers, or 1 and what was wrong.
"""
import errno
import resource
import selectors
import socket
import sys
import time

BLOCK = bytes((i * 31 + i // 251) % 256 for i in range(65521))  # a prime length, no two connections in step
PATIENCE = 60.0  # seconds without any progress


def stream(conn, length):
    """What connection number `conn` sends."""
    start = conn * 7919 % len(BLOCK)
    block = BLOCK[start:] + BLOCK[:start]
    return (block * (length // len(block) + 1))[:length]


class Conn:
    __slots__ = ("sock", "data", "sent", "got", "eof")

    def __init__(self, addr, number, length):
        self.data = memoryview(stream(number, length))
        self.sent = 0
        self.got = 0
        self.eof = False
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        e = self.sock.connect_ex(addr)
        if e not in (0, errno.EINPROGRESS):
            raise OSError(e, "connect")

    def connected(self):
        e = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if e:
            raise OSError(e, "connect")

    def write(self):
        """True: everything is sent, and this side's end too."""
        try:
            while self.sent < len(self.data):
                self.sent += self.sock.send(self.data[self.sent:self.sent + (256 << 10)])
        except BlockingIOError:
            return False
        self.sock.shutdown(socket.SHUT_WR)
        return True

    def read(self):
        """True: everything has come back, and then the other side's end."""
        try:
            while True:
                piece = self.sock.recv(256 << 10)
                if not piece:
                    if self.got != len(self.data):
                        raise ValueError(f"end after {self.got} of {len(self.data)} bytes")
                    return True
                if piece != self.data[self.got:self.got + len(piece)]:
                    raise ValueError(f"wrong bytes in {self.got}..{self.got + len(piece)}")
                self.got += len(piece)
        except BlockingIOError:
            return False


def ready(sel):
    events = sel.select(PATIENCE)
    if not events:
        raise TimeoutError(f"no progress in {PATIENCE:.0f} s, {len(sel.get_map())} connections open")
    return events


def many_at_once(addr, conns, length):
    start = time.monotonic()
    sel = selectors.DefaultSelector()
    all_conns = []
    waiting = 0
    for number in range(conns):
        conn = Conn(addr, number, length)
        all_conns.append(conn)
        sel.register(conn.sock, selectors.EVENT_WRITE, conn)
        waiting += 1
    while waiting:
        for key, _ in ready(sel):
            key.data.connected()
            sel.unregister(key.data.sock)
            waiting -= 1
    opened = time.monotonic()
    for conn in all_conns:
        sel.register(conn.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, conn)
    while sel.get_map():
        for key, events in ready(sel):
            conn = key.data
            if events & selectors.EVENT_WRITE and conn.write():
                sel.modify(conn.sock, selectors.EVENT_READ, conn)
            if events & selectors.EVENT_READ and conn.read():
                sel.unregister(conn.sock)
    end = time.monotonic()
    for conn in all_conns:
        conn.sock.close()
    rate = conns * length / max(end - opened, 1e-9) / (1 << 20)
    print(f"{conns} connections in {opened - start:.2f} s, {length} bytes each way on each in "
          f"{end - opened:.2f} s: {rate:.0f} MiB/s each way")


def many_short(addr, count):
    start = time.monotonic()
    sel = selectors.DefaultSelector()
    begun = 0
    ended = 0
    while ended < count:
        while begun < count and begun - ended < 64:
            conn = Conn(addr, begun, 32)
            sel.register(conn.sock, selectors.EVENT_WRITE, conn)
            begun += 1
        for key, events in ready(sel):
            conn = key.data
            if events & selectors.EVENT_WRITE:
                conn.connected()
                if conn.write():
                    sel.modify(conn.sock, selectors.EVENT_READ, conn)
            elif conn.read():
                sel.unregister(conn.sock)
                conn.sock.close()
                ended += 1
    took = time.monotonic() - start
    print(f"{count} short connections in {took:.2f} s: {count / max(took, 1e-9):.0f} per second")


def main(args):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    short = bool(args) and args[0] == "--short"
    if short:
        args = args[1:]
    if len(args) != (2 if short else 3):
        print(__doc__, file=sys.stderr)
        return 2
    host, port = args[0].rsplit(":", 1)
    addr = (host, int(port))
    try:
        if short:
            many_short(addr, int(args[1]))
        else:
            many_at_once(addr, int(args[1]), int(args[2]))
    except (OSError, ValueError) as e:
        print(f"echo_client: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
