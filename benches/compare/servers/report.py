#!/usr/bin/env python3
"""The tables of what run.sh has measured.

    report.py            prints them
    report.py --write    writes them into docs/servers-compared.md, between its two marks
    report.py --check    whether what that page quotes is what the files say

A line of raw/results.txt is `round others workload.part name procs value unit`. `others` is the part of a CPU, in per cent,
that other processes took meanwhile; rounds in which that was much count only where there is no better one.
"""

import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent.parent / "docs" / "servers-compared.md"
BEGIN, END = "<!-- numbers: written by benches/compare/servers/report.py -->", "<!-- end of numbers -->"
NOISY = 8  # per cent of a CPU
LEVEL = 0.85  # what issue 8 asks of HTTPS beside tokio-rustls
NAMES = {"gosched": "gosched", "go": "Go", "tokio": "tokio"}

# Part: what it is, the unit, whether more is better, whether tokio is to be reached.
PARTS = {
    "plaintext.rps": ("`/plaintext`, 64 connections", "req/s", True, False),
    "plaintext.p99": ("the slowest hundredth of it", "µs", False, False),
    "pipelined.rps": ("the same, 16 requests at a time", "req/s", True, False),
    "http.rss": ("the server's memory after it", "KiB", False, False),
    "https.full.rps": ("full handshakes, each with a small request", "/s", True, True),
    "https.full.cpu": ("the server's CPU for each", "µs", False, False),
    "https.resumed.rps": ("resumed handshakes, likewise", "/s", True, True),
    "https.resumed.cpu": ("the server's CPU for each", "µs", False, False),
    "https.get.rps": ("a file of 1 MiB, over connections that stay", "MiB/s", True, True),
    "https.get.cpu": ("the server's CPU for each", "µs", False, False),
    "https.post.rps": ("1 MiB to `/size`, likewise", "MiB/s", True, True),
    "https.post.cpu": ("the server's CPU for each", "µs", False, False),
    "https.rss": ("the server's memory after all that", "KiB", False, False),
    "chat.p50": ("from when a message is to be said until one hears it", "µs", False, False),
    "chat.p99": ("the slowest hundredth", "µs", False, False),
    "chat.heard": ("heard", "/s", None, False),
    "chat.lost": ("not heard", "", None, False),
    "chat.cpu": ("the server's CPU for each that is heard", "µs", False, False),
    "chat.idle": ("memory for a silent connection", "KiB", False, False),
    "chat.rss": ("the server's memory with 1,000 of them", "KiB", False, False),
}


def read():
    quiet, noisy, failed = defaultdict(list), defaultdict(list), set()
    for line in (HERE / "raw" / "results.txt").read_text().splitlines():
        _, others, part, name, procs, value, _ = line.split()
        key = part, procs, name
        if value == "n/a":
            failed.add(key)
        else:
            (noisy if int(others) > NOISY else quiet)[key].append(float(value))
    values = {key: sorted(quiet.get(key) or noisy[key]) for key in {*quiet, *noisy}}
    return values, {key for key in values if key not in quiet}, failed


def number(x):
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}"


def median(values):
    return values[(len(values) - 1) // 2]


def cell(key, values, noisy, failed):
    if key not in values:
        return "n/a" if key in failed else ""
    v = values[key]
    text = number(median(v)) + (f" [{number(v[0])} .. {number(v[-1])}]" if len(v) > 1 else "")
    return text + (" ~" if key in noisy else "") + (" (failed once)" if key in failed else "")


def ratio(part, procs, name, values, more):
    """How many times better gosched is."""
    ours, theirs = values.get((part, procs, "gosched")), values.get((part, procs, name))
    if more is None or not ours or not theirs:
        return None
    over, under = (ours, theirs) if more else (theirs, ours)
    return median(over) / median(under) if median(under) else None


def table(head, lines):
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def numbers(procs, values, noisy, failed):
    lines = []
    for part, (what, unit, more, target) in PARTS.items():
        cells = [cell((part, procs, name), values, noisy, failed) for name in NAMES]
        if not any(cells):
            continue
        ratios = [ratio(part, procs, name, values, more) for name in ("go", "tokio")]
        line = [what, unit, *cells, *("" if r is None else f"{r:.2f}" for r in ratios)]
        level = target and ratios[1] is not None
        line.append("" if not level else f"≥ {LEVEL}: yes" if ratios[1] >= LEVEL else f"≥ {LEVEL}: **no**")
        lines.append(line)
    return table(["", "", *NAMES.values(), "beside Go", "beside tokio", "to reach beside tokio"], lines)


def code():
    lines = [line.split() for line in (HERE / "raw" / "lines").read_text().splitlines()]
    rows = []
    for workload in ("http", "chat"):
        counts = {name: (int(own), int(protocol)) for w, name, own, protocol in lines if w == workload}
        own, protocol = counts["gosched"]
        rows.append([workload, f"{own + protocol}, of which {protocol} are the protocol",
                     *(str(counts[name][0]) for name in ("go", "tokio"))])
    return table(["lines of code", *NAMES.values()], rows)


def page():
    values, noisy, failed = read()
    facts = "\n".join(f"- {line}" for line in (HERE / "raw" / "facts").read_text().splitlines())
    parts = [code(), facts]
    for procs, where in (("1", "One CPU for the server, the other for the client"), ("2", "Two CPUs, which both share")):
        if any(key[1] == procs for key in {*values, *failed}):
            parts += [f"### {where}", numbers(procs, values, noisy, failed)]
    parts.append("Median [least .. most] of the rounds. The columns `beside …` say how many times better gosched is: below 1 it is\n"
                 f"behind. `~`: others used more than {NOISY} % of a CPU meanwhile, in every round.")
    return "\n\n".join(parts)


def check():
    """Each block below a link to a file has lines of that file, in their order; `…` stands for what is left out."""
    wrong, file, rest, inside = [], None, None, False
    for line in PAGE.read_text().splitlines():
        if line.startswith("```"):
            inside = not inside
            rest = iter([l.strip() for l in file.read_text().splitlines()]) if inside and file else None
            file = None
        elif line.startswith("[") and "](../" in line and line.endswith(")"):
            file = PAGE.parent / line.split("](")[1].rstrip(")")
            name = file.resolve().relative_to(HERE.parent.parent.parent)
        elif rest and line.strip() not in ("", "…") and line.strip() not in rest:  # which takes from it up to that line
            wrong.append(f"{name}: {line.strip()}")
            rest = None
    return wrong


def main():
    if sys.argv[1:] == ["--check"]:
        sys.exit("\n".join(check()) or None)
    text = page()
    if sys.argv[1:] != ["--write"]:
        print(text)
        return
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")


main()
