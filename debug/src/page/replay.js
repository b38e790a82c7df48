
// ---- Slow motion: a short trace is recorded, and its events are shown one by one.
const RECORD_SECONDS = 0.02, MAX_EVENTS = 4000, MAX_REPLAY_LINES = 200;
let events = [], at = 0, timer = null, chips = new Map(), boxes = new Map(), zero = 0;
const micros = ts => (ts - zero).toFixed(1) + " µs";
const PARKED = {
  "sleep": "it is in a timer heap now", "IO wait": "the poller knows which socket it waits for",
  "chan receive": "a sudog of it stands in the channel's queue", "chan send": "a sudog of it stands in the channel's queue, with its value",
  "select": "it stands in the queues of several channels at once, with a sudog in each",
};
// What the trace tells of goroutines, in the order of time. (Tracks: process 1 has the Ps, process 2 the Ms.)
function story(trace) {
  const out = [], names = new Map(), runs = new Map(), ready = new Map();
  const all = trace.traceEvents;
  for (const e of all) {
    if (e.ph === "M" && e.name === "thread_name" && e.pid === 1) names.set(e.tid, e.args.name);
    if (e.ph === "X" && e.cat === "run" && e.pid === 1) runs.set(e.tid + "@" + e.ts, e);
  }
  // An arrow ends where a run begins.
  const begins = (tid, ts) => runs.get(tid + "@" + ts) || runs.get(tid + "@" + (Math.round((ts - 0.001) * 1000) / 1000));
  const running = (pid, tid, ts) => all.find(e => e.ph === "X" && e.cat === "run" && e.pid === pid && e.tid === tid && e.ts <= ts && ts <= e.ts + e.dur);
  for (const e of all) if (e.ph === "f") { const run = begins(e.tid, e.ts); if (run) ready.set(e.id, run); }
  for (const e of all) {
    if (e.ph === "X" && e.cat === "run" && e.pid === 1) {
      const p = names.get(e.tid), g = e.args.g, name = e.name;
      out.push({ ts: e.ts, kind: "run", p, g, name, m: e.args.m });
      out.push({ ts: e.ts + e.dur, kind: "end", p, g, name, why: e.args.end });
    } else if (e.ph === "s" && ready.has(e.id)) {
      const run = ready.get(e.id), by = running(e.pid, e.tid, e.ts);
      out.push({ ts: e.ts, kind: "ready", g: run.args.g, name: run.name, by: by ? "G" + by.args.g : e.pid === 1 ? names.get(e.tid) : null });
    } else if (e.ph === "i" && e.pid === 1) {
      out.push({ ts: e.ts, kind: e.name, p: names.get(e.tid), ...e.args });
    }
  }
  const order = { end: 0, ready: 1, steal: 2, retake: 2, handoff: 3, run: 4 };
  out.sort((a, b) => a.ts - b.ts || order[a.kind] - order[b.kind]);
  return { events: out.slice(0, MAX_EVENTS), ps: [...names.values()].filter(n => /^P\d+$/.test(n)).sort((a, b) => a.slice(1) - b.slice(1)) };
}
function place(id, title, parent, className) {
  if (!boxes.has(id)) {
    const b = make("div", undefined, "box");
    const slot = make("div", undefined, className);
    b.append(make("b", title), slot);
    $(parent).append(b);
    boxes.set(id, slot);
  }
  return boxes.get(id);
}
// Moves a goroutine's chip, and lets it be seen to move.
function move(g, name, to) {
  let chip = chips.get(g);
  if (!chip) { chip = make("span", "G" + g, "chip"); chip.title = name; chips.set(g, chip); $("runnable").append(chip); }
  const from = chip.getBoundingClientRect();
  to.append(chip);
  const there = chip.getBoundingClientRect();
  chip.animate([{ transform: `translate(${from.x - there.x}px, ${from.y - there.y}px)` }, { transform: "none" }],
    { duration: Math.min(350, $("speed").value * 0.8), easing: "ease-in-out" });
  for (const c of document.querySelectorAll(".chip.now")) c.classList.remove("now");
  chip.classList.add("now");
}
function say(ts, text) {
  $("rlog").prepend(make("li", micros(ts) + "  " + text));
  while ($("rlog").childElementCount > MAX_REPLAY_LINES) $("rlog").lastChild.remove();
}
function show(e) {
  const who = e.g ? "G" + e.g : "";
  switch (e.kind) {
    case "run":
      move(e.g, e.name, place(e.p, e.p, "rps", "slot"));
      return say(e.ts, `${e.p} takes ${who} out of a queue and runs it, on M${e.m} (started at ${e.name.replace(/^G\d+ /, "")}).`);
    case "end":
      if (e.why === "exit") { chips.get(e.g)?.remove(); chips.delete(e.g); return say(e.ts, `${who} has returned; its stack and its G go back to ${e.p}.`); }
      if (e.why === "P taken") { move(e.g, e.name, place("alone", "without a P, on its thread", "rwaits", "pool")); return say(e.ts, `${who} lost ${e.p} and goes on, as a thread among others, until it calls into the runtime.`); }
      if (e.why === "yield") { move(e.g, e.name, $("runnable")); return say(e.ts, `${who} lets the others run: to the end of the global queue.`); }
      if (e.why === "") return;
      move(e.g, e.name, place(e.why, e.why, "rwaits", "pool"));
      return say(e.ts, `${who} parks (gopark, ${e.why}): ${PARKED[e.why] || "it stands in the queue of what it waits for"}. ${e.p} is free for another.`);
    case "ready":
      if (chips.get(e.g)?.parentElement.parentElement?.parentElement !== $("rps")) move(e.g, e.name, $("runnable"));
      return say(e.ts, e.by ? `${e.by} makes ${who} runnable (goready): it goes to runnext, so it is the next one there.`
        : `the poller or a timer makes ${who} runnable (goready).`);
    case "steal": return say(e.ts, `${e.p} had nothing and took half of P${e.from_p}'s queue; ${who} is the first that it runs.`);
    case "retake": return say(e.ts, `sysmon took ${e.p} from M${e.from_m}, whose ${who} was ${e.from === "syscall" ? "in a system call" : "on it for 10 ms"}.`);
    case "handoff": return say(e.ts, `${e.p} was handed to another M, so that what is in its queue runs.`);
  }
}
function step() {
  if (at < events.length) return show(events[at++]);
  stop();
  say(events.length ? events[events.length - 1].ts : 0, "That was all.");
}
function stop() { clearInterval(timer); timer = null; $("play").textContent = "Go on"; }
function play() { clearInterval(timer); timer = setInterval(step, +$("speed").value); $("play").textContent = "Stop"; }
$("play").onclick = () => timer ? stop() : play();
$("step").onclick = () => { stop(); step(); };
$("speed").onchange = () => { if (timer) play(); };
$("close").onclick = () => { stop(); $("replay").hidden = true; $("live").hidden = false; paused = false; };
async function record() {
  $("record").disabled = true;
  try {
    const answer = await fetch("/debug/trace?seconds=" + RECORD_SECONDS);
    if (!answer.ok) throw new Error(await answer.text());
    const told = story(await answer.json());
    events = told.events; at = 0; zero = events.length ? events[0].ts : 0;
    chips = new Map(); boxes = new Map();
    for (const id of ["rps", "rwaits", "rlog", "runnable"]) $(id).replaceChildren();
    for (const p of told.ps) place(p, p, "rps", "slot");
    const us = events.length ? events[events.length - 1].ts - zero : 0;
    $("recorded").textContent = `${events.length} events, in ${us.toFixed(0)} µs of the program's time: goroutines that did nothing meanwhile are not shown.`;
    paused = true; $("live").hidden = true; $("replay").hidden = false;
    play();
  } catch (e) { $("state").textContent = "no trace: " + e.message; }
  $("record").disabled = false;
}
$("record").onclick = record;
if (location.hash === "#slow") record();
