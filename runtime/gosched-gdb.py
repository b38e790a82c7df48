"""gdb: goroutines of a program that uses gosched.

    info goroutines          every goroutine, what it does and where; * marks those that are on a thread just now
    goroutine 18 bt          the stack of goroutine 18; any other command, too: it begins in the innermost frame
    goroutine all bt         of all of them
    print ch                 a Chan, Sender or Receiver: how full it is and who waits (needs full debug information)

It works on a live process and on a core file, in debug and in release builds, as long as there are symbols. To stop where
goroutines become runnable, send, or park:

    break gosched_runtime::runq::runqput      gosched_chan::send::chansend      gosched_runtime::park::gopark
    break runqput                             chansend                          gopark      (with line tables only)

Go's runtime-gdb.py has the commands' names.

gdb loads it by itself where it is told to trust the program:  add-auto-load-safe-path /path/to/program
or by hand:                                                    source gosched-gdb.py

How: `gosched_runtime::debugger::MAP` says where the Gs are and where a G keeps what (runtime/src/debugger.rs). A goroutine
that is off its thread has left pc, sp and fp in its G. An unwinder hands gdb these as the registers of the caller of the
selected thread's innermost frame, so that the goroutine's frames follow behind that one, which is not shown.
"""

import re
import struct

import gdb
from gdb.unwinder import Unwinder

VERSION = 1
DEAD, RUNNABLE, RUNNING, WAITING = range(4)
STATES = {RUNNABLE: "runnable", RUNNING: "running", WAITING: "waiting"}


def read(addr, size):
    return bytes(gdb.selected_inferior().read_memory(addr, size))


def word(addr):
    return struct.unpack("<Q", read(addr, 8))[0]


def text(addr):
    """Of a reference to a str: address and length."""
    at, size = struct.unpack("<QQ", read(addr, 16))
    return read(at, min(size, 4096)).decode(errors="replace") if at and size else ""


def address_of(name):
    """Of a static, with or without debug information. Its symbol may end in a hash."""
    found = gdb.execute("info variables " + re.escape(name), to_string=True)
    match = re.search(r"0x([0-9a-f]+)\s+" + re.escape(name), found)
    if match:
        return int(match.group(1), 16)
    try:
        return int(gdb.parse_and_eval("&" + name))
    except gdb.error:
        raise gdb.GdbError("no gosched in this program (or it has no symbols): there is no " + name)


class Map:
    """debugger.rs, `Map`."""

    FIELDS = [
        "version", "size", "goid", "status", "reason", "in_syscall", "pc", "sp", "fp", "site", "extra",
        "name_in_extra", "file", "line", "chunk",
    ]

    def __init__(self):
        addr = address_of("gosched_runtime::debugger::MAP")
        count = len(self.FIELDS)
        for name, value in zip(self.FIELDS, struct.unpack("<%dI" % count, read(addr, 4 * count))):
            setattr(self, name, value)
        if self.version != VERSION:
            raise gdb.GdbError("this script is not of the program's version of gosched")
        allgs, slab, reasons, n = struct.unpack("<4Q", read(addr + (4 * count + 7 & ~7), 32))
        self.allgs, self.chunks = struct.unpack("<2Q", read(allgs, 16))
        self.base, self.bytes, self.stride, _, _, self.owners = struct.unpack("<6Q", read(slab, 48))
        if not self.allgs:
            raise gdb.GdbError("the scheduler has not started yet")
        self.reasons = [text(reasons + 16 * i) for i in range(n)]

    def owner(self, sp):
        """The G on whose stack an address lies, or 0."""
        offset = sp - self.base
        return word(self.owners + 8 * (offset // self.stride)) if 0 <= offset < self.bytes else 0


class Goroutine:
    def __init__(self, layout, addr, image):
        self.map, self.addr = layout, addr
        at = lambda name: struct.unpack_from("<Q", image, getattr(layout, name))[0]
        self.goid = at("goid")
        self.pc, self.sp, self.fp = at("pc"), at("sp"), at("fp")
        self.status, self.reason = image[layout.status], image[layout.reason]
        self.in_syscall = image[layout.in_syscall] != 0
        self._site, self._extra = at("site"), at("extra")

    @property
    def name(self):
        return text(self._extra + self.map.name_in_extra) if self._extra else ""

    @property
    def site(self):
        if not self._site:
            return "?"
        line = struct.unpack("<I", read(self._site + self.map.line, 4))[0]
        return "%s:%d" % (text(self._site + self.map.file), line)

    def doing(self):
        if self.status == WAITING:
            return self.map.reasons[self.reason] if self.reason < len(self.map.reasons) else "waiting"
        if self.status == RUNNING and self.in_syscall:
            return "syscall"
        return STATES.get(self.status, "?")

    def header(self):
        name = ' "%s"' % self.name if self.name else ""
        return "goroutine %d%s [%s]" % (self.goid, name, self.doing())


def goroutines(layout):
    """All that are alive, in the order of their ids."""
    out = []
    memory = read(layout.allgs, layout.chunks * layout.chunk)
    for at in range(0, len(memory), layout.size):
        if memory[at + layout.status] in STATES:
            out.append(Goroutine(layout, layout.allgs + at, memory[at : at + layout.size]))
    return sorted(out, key=lambda g: g.goid)


def registers(frame):
    """The names of pc, sp and the frame pointer."""
    return ("pc", "sp", "x29") if frame.architecture().name().startswith("aarch64") else ("rip", "rsp", "rbp")


def on_threads(layout):
    """G's address -> thread, for goroutines whose stack a thread is on."""
    out = {}
    selected = gdb.selected_thread()
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        g = layout.owner(int(gdb.newest_frame().read_register(registers(gdb.newest_frame())[1])))
        if g:
            out[g] = thread
    if selected:
        selected.switch()
    return out


class Elsewhere(Unwinder):
    """Puts a goroutine's frames behind the innermost frame of the selected thread."""

    class FrameId:
        def __init__(self, sp, pc):
            self.sp, self.pc = sp, pc

    def __init__(self):
        super().__init__("gosched")
        self.goroutine = None

    def show(self, goroutine):
        self.goroutine = None
        gdb.invalidate_cached_frames()
        if goroutine:
            frame = gdb.newest_frame()
            self.names = registers(frame)
            self.innermost = int(frame.read_register(self.names[1]))
            self.goroutine = goroutine
            gdb.invalidate_cached_frames()

    def __call__(self, pending):
        g = self.goroutine
        if g is None or int(pending.read_register(self.names[1])) != self.innermost:
            return None
        kind = pending.read_register(self.names[1]).type
        info = pending.create_unwind_info(self.FrameId(pending.read_register(self.names[1]), pending.read_register(self.names[0])))
        for name, value in zip(self.names, (g.pc, g.sp, g.fp)):
            info.add_saved_register(name, gdb.Value(value).cast(kind))
        return info


elsewhere = Elsewhere()
gdb.unwinder.register_unwinder(None, elsewhere, replace=True)


class InfoGoroutines(gdb.Command):
    """Every goroutine: `*` where it is on a thread, its id, what it does, and where it was started."""

    def __init__(self):
        super().__init__("info goroutines", gdb.COMMAND_STACK, gdb.COMPLETE_NONE)

    def invoke(self, _arg, _from_tty):
        layout = Map()
        running = on_threads(layout)
        for g in goroutines(layout):
            thread = running.get(g.addr)
            where = " thread %d" % thread.num if thread else ""
            print("%s %s%s, started at %s" % ("*" if thread else " ", g.header(), where, g.site))


class GoroutineCommand(gdb.Command):
    """goroutine ID COMMAND, goroutine all COMMAND: a gdb command on the stack of a goroutine (as `thread apply`)."""

    def __init__(self):
        super().__init__("goroutine", gdb.COMMAND_STACK, gdb.COMPLETE_NONE)

    def invoke(self, arg, _from_tty):
        which, _, command = arg.strip().partition(" ")
        command = command.strip()
        if not command or not (which == "all" or which.isdigit()):
            raise gdb.GdbError("usage: goroutine ID|all COMMAND")
        layout = Map()
        running = on_threads(layout)
        chosen = [g for g in goroutines(layout) if which in ("all", str(g.goid))]
        if not chosen:
            raise gdb.GdbError("no goroutine %s" % which)
        for g in chosen:
            if which == "all":
                print("\n%s:" % g.header())
            self.on(g, running.get(g.addr), command)

    @staticmethod
    def on(g, thread, command):
        selected, frame = gdb.selected_thread(), gdb.selected_frame()
        if thread:
            thread.switch()
            gdb.execute(command)
        elif not g.pc:
            print("it has not run yet; started at %s" % g.site)
        else:
            try:
                elsewhere.show(g)
                gdb.newest_frame().older().select()
                if command in ("bt", "backtrace", "where", "bt full"):
                    out = gdb.execute("%s %d" % (command, 1 + frames_of(g)), to_string=True)
                    print(without_innermost(out), end="")
                else:
                    gdb.execute(command)
            finally:
                elsewhere.show(None)
        selected.switch()
        if frame.is_valid():
            frame.select()


def frames_of(g):
    """How many frames are on the goroutine's own stack. Behind them gdb sees those of the thread that ran it last."""
    frame, count = gdb.newest_frame().older(), 0
    while frame and g.map.owner(int(frame.read_register(registers(frame)[1]))) == g.addr and count < 10000:
        frame, count = frame.older(), count + 1
    return count


def without_innermost(out):
    """A backtrace without the frame that is not the goroutine's, and the others numbered from 0."""
    lines = [line for line in out.splitlines(keepends=True) if not line.startswith("(More stack frames")]
    first = next((i for i, line in enumerate(lines) if line.startswith("#1 ")), len(lines))
    number = lambda m: "%-4s" % ("#%d" % (int(m.group(1)) - 1))
    return "".join(re.sub(r"^#(\d+)\s+", number, line) for line in lines[first:])


InfoGoroutines()
GoroutineCommand()


class ChanPrinter:
    """A Chan, Sender or Receiver: one pointer, null for the nil channel."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        h = next(numbers(self.value)) if self.value.address is None else word(int(self.value.address))
        if not h:
            return "nil channel"
        hchan = gdb.Value(h).cast(gdb.lookup_type("gosched_chan::hchan::Hchan").pointer()).dereference()
        number = lambda v: next(n for n in numbers(v))
        ring = hchan["ring"]
        out = "channel %#x, %d of %d" % (h, number(ring["qcount"]), int(ring["dataqsiz"]))
        for queue, what in (("sendq", "send"), ("recvq", "receive")):
            waiting = 0
            sudog = number(hchan[queue]["first"])
            while sudog and waiting < 1000:
                waiting += 1
                record = gdb.Value(sudog).cast(gdb.lookup_type("gosched_chan::sudog::Sudog").pointer()).dereference()
                sudog = number(record["next"])
            if waiting:
                out += ", %d wait%s to %s" % (waiting, "s" if waiting == 1 else "", what)
        return out + (", closed" if number(hchan["closed"]) else "")


def numbers(value):
    """The integers and pointers in a value, however many cells and atomics are around them."""
    if value.type.strip_typedefs().code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        for field in value.type.fields():
            yield from numbers(value[field])
    else:
        yield int(value)


def chan_printer(value):
    name = value.type.strip_typedefs().name or ""
    return ChanPrinter(value) if re.match(r"gosched_chan::handle::(Chan|Sender|Receiver)<", name) else None


gdb.pretty_printers.append(chan_printer)
