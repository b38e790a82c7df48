"use strict";
const MAX_DOTS = 64, MAX_LINES = 40, MAX_MS = 200, $ = id => document.getElementById(id);
let paused = false, before = null;
$("pause").onclick = () => { paused = !paused; $("pause").textContent = paused ? "Go on" : "Pause"; };
function make(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}
function queue(n) {
  const q = make("div", undefined, "queue");
  for (let i = 0; i < Math.min(n, MAX_DOTS); i++) q.append(make("i"));
  if (n > MAX_DOTS) q.append(make("small", "+" + (n - MAX_DOTS)));
  return q;
}
function box(title, lines, className, dots) {
  const b = make("div", undefined, "box " + (className || ""));
  b.append(make("b", title));
  for (const [text, cls] of lines) b.append(make("div", text, cls));
  if (dots !== undefined) b.append(queue(dots));
  return b;
}
// The goroutine that draws this is always found running.
const drawsThis = m => m.g !== null && m.site.includes("debug/src/lib.rs");
const goroutine = m => drawsThis(m) ? "G" + m.g + " (it sends this picture)" : m.g === null ? (m.spinning ? "looks for work" : "in the scheduler") : "G" + m.g + " " + m.site;
function draw(s) {
  const has = new Map(s.ms.filter(m => m.p !== null).map(m => [m.p, m]));
  $("all").replaceChildren(
    box("Global queue", [[s.global_runq + " goroutines"]], s.global_runq ? "" : "idle", s.global_runq),
    box("Goroutines", [[s.goroutines + " alive"]]),
    box("Netpoll", [[s.polling ? "an M waits in the poller" : "polled now and then"]], s.polling ? "" : "idle"),
    box("sysmon", [[s.handoffs + " Ps handed on so far"]]));
  $("ps").replaceChildren(...s.ps.map(p => {
    const m = has.get(p.id);
    return box("P" + p.id, [[p.running ? (m ? "M" + m.id + " · " + goroutine(m) : "just changing hands") : "idle", "g"],
      [p.runq + " queued · " + p.timers + " timers · " + p.switches + " switches"]], p.running ? "" : "idle", p.runq);
  }));
  $("waits").replaceChildren(...(s.waiting === null ? [make("small", "too many to count ten times a second")] :
    s.waiting.map(([why, n]) => box(why, [[n === 1 ? "1 goroutine" : n + " goroutines"]], "", n))));
  $("ms").replaceChildren(...s.ms.slice(0, MAX_MS).map(m => box("M" + m.id, [
    [m.p === null ? "no P" : "P" + m.p], [goroutine(m), "g"], [m.syscall ? "in syscall(f)" : m.blocked ? "asleep with its goroutine" : ""]],
    m.p === null ? "alone" : drawsThis(m) ? "mine" : "")), ...(s.ms.length > MAX_MS ? [make("small", "and " + (s.ms.length - MAX_MS) + " more")] : []));
}
// From two snapshots: what must have happened in between, and why the scheduler does that.
function happened(a, b) {
  const lines = [], ms = new Map(a.ms.map(m => [m.id, m])), ps = new Map(a.ps.map(p => [p.id, p]));
  const times = n => n === 1 ? "once" : n + " times";
  for (const p of b.ps) {
    const q = ps.get(p.id);
    if (!q) { lines.push("P" + p.id + " is new: GOMAXPROCS was raised."); continue; }
    const stole = (p.steals - q.steals) >>> 0;
    if (stole) lines.push("P" + p.id + " stole " + times(stole) + ": its queue was empty, so it took half of another P's.");
    if (q.running && !p.running) lines.push("P" + p.id + " became idle: no queue, timer or socket had anything for it.");
    if (!q.running && p.running) lines.push("P" + p.id + " went to work: there was something to run and nobody looking for it.");
    if (p.running && q.running && p.m !== q.m && p.m !== null && q.m !== null)
      lines.push("P" + p.id + " moved from M" + q.m + " to M" + p.m + ": its M slept, blocked, or ran one goroutine for too long.");
    if (p.runq > 200 && q.runq <= 200) lines.push("P" + p.id + "'s queue is nearly full: at 256, half of it goes to the global queue.");
  }
  for (const m of b.ms) {
    const n = ms.get(m.id);
    if (n && n.p !== null && m.p === null && m.g !== null)
      lines.push("M" + m.id + " lost P" + n.p + ": G" + m.g + (m.syscall ? " is in a system call" : " runs for more than a time slice") + "; it goes on as a thread, the others get the P.");
  }
  const handed = b.handoffs - a.handoffs;
  if (handed > 0) lines.push("Ps were handed on " + times(handed) + ", so that nobody waits for an M that blocks.");
  if (b.global_runq > a.global_runq + 100) lines.push("The global queue grew by " + (b.global_runq - a.global_runq) + ": queues were full, or goroutines yielded. Each P looks there first every 61st time.");
  if (b.polling && !a.polling) lines.push("The last M without work waits in the poller now, for sockets and timers.");
  return lines;
}
const source = new EventSource("/debug/events");
source.onopen = () => { $("state").textContent = "live"; };
source.onerror = () => { $("state").textContent = "the program does not answer"; };
source.onmessage = e => {
  if (paused) return;
  const now = JSON.parse(e.data);
  draw(now);
  if (before) for (const line of happened(before, now)) $("log").prepend(make("li", line));
  while ($("log").childElementCount > MAX_LINES) $("log").lastChild.remove();
  before = now;
};
