#!/usr/bin/env python3
"""The tables and plots of what run.sh has measured.

    report.py            prints the tables
    report.py --write    writes them into benches/RESULTS.md, between its two marks, and the plots into docs/images/

A line of raw/ is `round others workload[.part] name[+variant] procs value unit`. `others` is the part of a CPU, in per
cent, that other processes took meanwhile; rounds in which that was much count only where there is no better one.
The same lines give the same page.
"""

import math
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "RESULTS.md"
IMAGES = HERE.parent.parent / "docs" / "images"
BEGIN, END = "<!-- figures: written by compare/report.py -->", "<!-- end of figures -->"

NOISY = 8  # per cent of a CPU
LEVEL = 0.95  # what counts as level: two runs of one program differ by as much

ORDER = """spawn yield2 yield1000 pingpong chan_buffered chan_mpmc select2 select8 ring sieve skynet parked1m timers mutex
rwlock rwlock.number echo http hog_spin hog_block idle""".split()
FAMILIES = ["go", "tokio", "tokio-ct", "may", "thread"]  # the peers; `loop` is a limit
TITLES = {"gosched": "gosched", "go": "Go", "tokio": "tokio", "tokio-ct": "tokio, current-thread", "may": "may",
          "thread": "threads", "loop": "epoll loop"}
MORE_IS_BETTER = {"req/s", "pings"}
NOT_COMPARED = {"tasks"}

# What issue 6 asks for: (peers, how many times better than the best of them); or ("below", the most that it may be).
# "every peer" is all of FAMILIES with all their variants; "+kanal" is a variant, of whomever.
TARGETS = {
    "spawn": [("go", 4), ("every peer", 2)],
    "yield2": [("go", 4), ("every peer", LEVEL)],
    "yield1000": [("go", 4), ("every peer", LEVEL)],
    "pingpong": [("go", 4), ("every peer", 2)],
    "ring": [("go", 4), ("every peer", 2)],
    "chan_buffered": [("go", 2), ("+kanal", LEVEL)],
    "chan_mpmc": [("go", 2), ("+kanal", LEVEL)],
    "select2": [("go", 2.5), ("every peer", 1.5)],
    "select8": [("go", 2.5), ("every peer", 1.5), ("1.5 × select2", 1)],
    "skynet": [("go", 3), ("tokio", 2)],
    "sieve": [("go", 2), ("every peer", LEVEL)],
    "mutex": [("+parking_lot", LEVEL), ("go", 1)],
    "timers.cpu": [("every peer", 1 / 0.7)],
    "parked1m.rss": [("below", 4.8 * 1024)],
    "parked1m.spawn": [("go", 1)],
    "parked1m.wake": [("go", 1)],
    "echo.c64.rps": [("loop", LEVEL), ("tokio", 1)],
    "echo.c1000.rps": [("loop", LEVEL), ("tokio", 1)],
    "echo.c64.p99": [("loop", LEVEL), ("tokio", LEVEL)],
    "echo.c1000.p99": [("loop", LEVEL), ("tokio", LEVEL)],
    "http.pipe1.rps": [("may", LEVEL), ("go", 2)],
    "http.pipe16.rps": [("may", LEVEL), ("go", 10)],
    "hog_spin.p50": [("thread", 1 / 3)],
    "hog_spin.p99": [("below", 20_000)],
    "hog_block.p50": [("thread", 1 / 3)],
    "hog_block.p99": [("below", 1_000)],
    "idle.cpu": [("go", 1)],
}

# The plots: file, title, procs, workloads.
TASKS = """spawn yield2 yield1000 pingpong chan_buffered chan_mpmc select2 select8 ring sieve skynet timers.cpu mutex rwlock
rwlock.number""".split()
SERVERS = """echo.c1.rps echo.c64.rps echo.c1000.rps echo.c64.p99 echo.c1000.p99 http.pipe1.rps http.pipe16.rps hog_spin.p50
hog_spin.p99 hog_block.p50 hog_block.p99""".split()
PLOTS = [
    ("compare-procs1.svg", "Tasks, channels, locks: one CPU (GOMAXPROCS=1)", "1", TASKS),
    ("compare-procs2.svg", "Tasks, channels, locks: two CPUs (GOMAXPROCS=2)", "2", TASKS),
    ("compare-servers.svg", "Servers on one CPU, the client on another", "1", SERVERS),
]


class Series:
    """What one program has given for one row: the rounds that count, or why there are none."""

    def __init__(self):
        self.quiet, self.noisy, self.reason = [], [], None

    def add(self, others, value, unit):
        if value == "n/a":
            self.reason = unit.replace("_", " ")
        else:
            (self.noisy if others > NOISY else self.quiet).append(float(value))

    @property
    def values(self):
        return sorted(self.quiet or self.noisy)

    @property
    def median(self):
        v = self.values
        if not v:
            return None
        # In the middle of two stands the lower one: halves of `inf` are none.
        return v[(len(v) - 1) // 2]


class Row:
    def __init__(self, name, procs):
        self.name, self.procs, self.unit = name, procs, ""
        self.series = defaultdict(Series)
        self.sizes = {}  # how many tasks each program had, where they differ

    def ours(self):
        return self.series["gosched"].median if "gosched" in self.series else None

    def comparable(self, name):
        """Whether it did all of the work, and came to an end."""
        value = self.series[name].median
        whole = self.sizes.get(name, 0) >= self.sizes.get("gosched", 0)
        return value is not None and math.isfinite(value) and whole

    def ratio(self, name):
        """How many times better ours is."""
        ours, theirs = self.ours(), self.series[name].median
        over, under = (ours, theirs) if self.unit in MORE_IS_BETTER else (theirs, ours)
        if over == under:
            return 1.0
        return over / under if under else math.inf

    def best(self, peers):
        """The best among `peers`, and how many times better ours is."""
        if self.ours() is None:
            return None
        names = [n for n in self.series if self.comparable(n) and belongs(n, peers)]
        return min(((self.ratio(n), n) for n in names), default=None)


def family(name):
    return name.split("+")[0]


def belongs(name, peers):
    if peers == "every peer":
        return family(name) in FAMILIES
    if peers.startswith("+"):
        return family(name) in FAMILIES and name.endswith(peers)
    if peers == "tokio":
        return family(name) in ("tokio", "tokio-ct")
    return family(name) == peers


def read():
    rows = {}
    for file in sorted((HERE / "raw").glob("*.txt")):
        for line in file.read_text().splitlines():
            _, others, workload, name, procs, value, unit = line.split()
            base, _, variant = name.partition("+")
            if variant.split("-")[0] == "number":  # another amount of work, and so another row
                workload += ".number"
                variant = variant.partition("-")[2]
            name = base + ("+" + variant if variant else "")
            row = rows.setdefault((workload, procs), Row(workload, procs))
            row.series[name].add(int(others), value, unit)
            if value != "n/a":
                row.unit = unit
    for (workload, procs), row in rows.items():
        sizes = rows.get((workload.split(".")[0] + ".n", procs))
        if sizes:
            row.sizes = {name: s.median for name, s in sizes.series.items() if s.median is not None}
    # A program that can nothing of a workload says so under its name, without a part.
    for (workload, procs), row in list(rows.items()):
        parts = [r for (w, p), r in rows.items() if p == procs and w.startswith(workload + ".") and w != "rwlock.number"]
        if parts:
            for part in parts:
                for name, s in row.series.items():
                    if not s.values:
                        part.series[name].reason = s.reason
            del rows[workload, procs]

    def place(row):
        base = row.name.split(".")[0]
        at = ORDER.index(row.name if row.name in ORDER else base)
        return at, row.procs

    # (The order of a workload's parts is that in which they were measured.)
    return sorted(rows.values(), key=place)


def targets(row, rows):
    """Pairs: what is to be reached, and whether it is (None: not known)."""
    for peers, factor in TARGETS.get(row.name, []):
        ours = row.ours()
        if peers == "below":
            yield f"≤ {number(factor)} {row.unit}", ours and ours <= factor
        elif peers == "1.5 × select2":
            two = next((r.ours() for r in rows if (r.name, r.procs) == ("select2", row.procs)), None)
            yield peers, ours and two and ours <= 1.5 * two
        else:
            best = row.best(peers)
            who = "threads" if peers == "thread" else "the loop" if peers == "loop" else peers.lstrip("+")
            who = "Go" if who == "go" else who
            times = "level with" if factor == LEVEL else f"{factor:.2f}".rstrip("0").rstrip(".") + " ×"
            yield f"{times} {who}", best and best[0] >= factor


def number(x):
    if math.isinf(x):
        return "no answer"
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.1f}" if abs(x) < 100 else f"{x:.0f}"


def times(r):
    if r < 0.1:
        return f"{r:.2g}"
    return "∞" if math.isinf(r) else f"{r:,.0f}" if r >= 100 else f"{r:.1f}" if r >= 10 else f"{r:.2f}"


def cell(row, name):
    s = row.series[name]
    if not s.values:
        return f"n/a ({s.reason})"
    text = number(s.median)
    if len(s.values) > 1:
        text += f" [{number(s.values[0])} .. {number(s.values[-1])}]"
    if not s.quiet:
        text += " ~"
    if row.unit not in NOT_COMPARED and row.sizes.get(name, 0) < row.sizes.get("gosched", 0):
        text += f" (of {number(row.sizes.get(name, 0))})"
    return text


def table(head, lines):
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def ratio_table(rows):
    lines = []
    for row in rows:
        if row.unit in NOT_COMPARED or row.ours() is None:
            continue
        best = row.best("every peer")
        line = [row.name, row.procs, row.unit, number(row.ours())]
        if best:
            mark = "**" if best[0] < LEVEL else ""
            line += [f"{number(row.series[best[1]].median)} ({best[1]})", f"{mark}{times(best[0])}{mark}"]
        else:
            line += ["", ""]
        for peers in ["go", "tokio", "may", "thread"]:
            one = row.best(peers)
            line.append(times(one[0]) if one else "")
        marks = {True: "yes", False: "**no**", None: "?"}
        aims = list(targets(row, rows))
        line.append("; ".join(aim for aim, _ in aims))
        line.append("; ".join(marks[None if reached is None else bool(reached)] for _, reached in aims))
        lines.append(line)
    head = ["workload", "procs", "unit", "gosched", "best peer", "ratio", "Go", "tokio", "may", "threads", "to reach", "reached"]
    return table(head, lines)


def value_table(rows):
    columns = ["gosched", *FAMILIES, "loop"]
    columns = [c for c in columns if any(family(n) == c for r in rows for n in r.series)]
    lines = []
    for row in rows:
        line = [row.name, row.procs, row.unit]
        for column in columns:
            names = [n for n in row.series if family(n) == column]
            cells = []
            for name in names:
                variant = name.partition("+")[2]
                cells.append(cell(row, name) + (f" {variant}" if variant else ""))
            line.append("<br>".join(cells))
        lines.append(line)
    return table(["workload", "procs", "unit", *(TITLES[c] for c in columns)], lines)


def lost(rows):
    lines = []
    for row in rows:
        best = row.unit not in NOT_COMPARED and row.best("every peer")
        missed = [aim for aim, reached in targets(row, rows) if reached is not None and not reached]
        if best and best[0] < LEVEL:
            text = f"- **{row.name}**, procs {row.procs}: {best[1]} is {times(1 / best[0]) if best[0] else '∞'} × better"
            lines.append(text + (f"; not reached: {', '.join(missed)}" if missed else ""))
        elif missed:
            lines.append(f"- {row.name}, procs {row.procs}: nobody is better; not reached: {', '.join(missed)}")
    return "\n".join(lines) or "Nowhere."


def facts():
    file = HERE / "raw" / "facts"
    return dict(line.split(": ", 1) for line in file.read_text().splitlines()) if file.exists() else {}


def page(rows):
    known = facts()
    noisy = sum(len(s.noisy) for r in rows for s in r.series.values())
    total = noisy + sum(len(s.quiet) for r in rows for s in r.series.values())
    machine = "\n".join(f"- {key}: {value}" for key, value in known.items())
    pictures = "\n\n".join(f"![{title}](../docs/images/{name})" for name, title, _, _ in PLOTS)
    return f"""{machine}
- {noisy} of {total} values were taken while others used more than {NOISY} % of a CPU; they count only where a program has no
  other for that row, which `~` marks.

`procs` is GOMAXPROCS, tokio's and may's number of workers, and the number of CPUs that threads may use. A ratio is how many
times better gosched is than the best variant of a peer: above 1 gosched is ahead, below 1 behind. Level is at least {LEVEL}.
Peers that did less of the work (`of 30,000`) are not compared.

{pictures}

## Ratios

{ratio_table(rows)}

## Where gosched is behind, or short of what it shall reach

{lost(rows)}

## All values

Median [least .. most] of the rounds. Less is better, except for {" and ".join(sorted(MORE_IS_BETTER, reverse=True))}.

{value_table(rows)}
"""


COLOURS = {"go": "#00a0c6", "tokio": "#e8703a", "may": "#8b6be0", "thread": "#8c959f"}
STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 } .small { font-size: 10px } .faint { fill: #656d76 }
.paper { fill: #ffffff } .grid { stroke: #d8dee4 } .one { stroke: #1f2328; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .faint { fill: #9198a1 } .paper { fill: #0d1117 } .grid { stroke: #30363d } .one { stroke: #e6edf3 }
}"""


def plot(title, procs, workloads, rows):
    """For each workload a bar for each peer, from 1 to how many times better gosched is, on a logarithmic scale."""
    found = {r.name: r for r in rows if r.procs == procs and r.ours() is not None}
    bars = []  # (workload, [(peers, ratio or None, why there is none)])
    for name in [w for w in workloads if w in found]:
        row, group = found[name], []
        for peers in COLOURS:
            best = row.best(peers)
            silent = any(belongs(n, peers) and s.median == math.inf for n, s in row.series.items())
            group.append((peers, best[0] if best else None, "no answer" if silent else "n/a"))
        bars.append((name, group))
    ratios = [r for _, group in bars for _, r, _ in group if r and math.isfinite(r)]
    low = min(-1, math.floor(math.log10(min(ratios, default=1))))
    high = max(1, math.ceil(math.log10(max(ratios, default=1))))
    width, left, right, top, bar, gap = 860, 130, 60, 84, 10, 12
    step = len(COLOURS) * bar + gap
    bottom = top + len(bars) * step
    height = bottom + 24

    def x(ratio):
        at = min(max(math.log10(ratio), low), high) if ratio else low
        return left + (width - left - right) * (at - low) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
           f"<title>{title}</title>", f"<style>{STYLE}</style>",
           f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
           f'<text class="title" x="16" y="26">{title}</text>',
           '<text class="small faint" x="16" y="43">How many times better gosched is than each peer&#8217;s best variant: to the '
           "right of 1 gosched is ahead, to the left the peer. Logarithmic.</text>"]
    at = 16
    for peers, colour in COLOURS.items():
        out.append(f'<rect x="{at}" y="54" width="10" height="10" rx="2" fill="{colour}"/>')
        out.append(f'<text x="{at + 15}" y="63">{TITLES[peers]}</text>')
        at += 30 + 8 * len(TITLES[peers])
    for power in range(low, high + 1):
        line = f"{x(10.0 ** power):.1f}"
        label = f"{10 ** power:,}" if power >= 0 else f"{10.0 ** power:g}"
        out.append(f'<line class="{"one" if power == 0 else "grid"}" x1="{line}" x2="{line}" y1="{top - 6}" y2="{bottom}"/>')
        out.append(f'<text class="small faint" x="{line}" y="{bottom + 14}" text-anchor="middle">{label}</text>')
    for i, (name, group) in enumerate(bars):
        y = top + i * step
        out.append(f'<text x="{left - 10}" y="{y + step / 2 - 2:.1f}" text-anchor="end">{name}</text>')
        for j, (peers, ratio, why) in enumerate(group):
            base, text = y + j * bar, why
            end = x(1)
            if ratio is not None:
                end, text = x(ratio), times(ratio)
                a, b = min(end, x(1)), max(end, x(1))
                out.append(f'<rect x="{a:.1f}" y="{base}" width="{max(b - a, 1):.1f}" height="{bar - 1}" rx="1.5" '
                           f'fill="{COLOURS[peers]}"/>')
            behind = ratio is not None and ratio < 1
            out.append(f'<text class="small{" faint" if ratio is None else ""}" x="{end + (-4 if behind else 4):.1f}" '
                       f'y="{base + bar - 1.5}" text-anchor="{"end" if behind else "start"}">{text}</text>')
    return "\n".join([*out, "</svg>", ""])


def main():
    rows = read()
    if not rows:
        sys.exit("nothing has been measured: raw/ is empty")
    if sys.argv[1:] != ["--write"]:
        print(ratio_table(rows), value_table(rows), sep="\n\n")
        return
    old = PAGE.read_text() if PAGE.exists() else f"# gosched beside Go, tokio, may and threads\n\n{BEGIN}\n{END}\n"
    before, rest = old.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{page(rows)}\n{END}{rest.split(END)[1]}")
    IMAGES.mkdir(exist_ok=True)
    for name, title, procs, workloads in PLOTS:
        (IMAGES / name).write_text(plot(title, procs, workloads, rows))


main()
