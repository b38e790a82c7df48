"use strict";

const show = (id, text) => { document.getElementById(id).textContent = text; };

async function text(path, options) {
  const answer = await fetch(path, options);
  return `${answer.status} ${(await answer.text()).trim()}`;
}

// A streamed answer, piece by piece: counts the pieces, so that one can see that they did not come at once.
async function stream(path) {
  const reader = (await fetch(path)).body.pipeThrough(new TextDecoderStream()).getReader();
  let all = "";
  for (let pieces = 1; ; pieces++) {
    const { value, done } = await reader.read();
    if (done) return pieces > 1 ? "streamed" : "nothing";
    all += value;
    show("lines", all.trim());
  }
}

(async () => {
  try {
    const sent = "é".repeat(50_000);
    show("plaintext", await text("/plaintext"));
    const [streamed, echoed, missing] = await Promise.all([
      stream("/lines?n=5&ms=20"),
      text("/echo", { method: "POST", body: sent }),
      text("/no-such-file"),
    ]);
    show("echo", echoed === `200 ${sent}` ? `200, ${echoed.length - 4} characters came back` : echoed.slice(0, 200));
    show("missing", missing);
    show("state", streamed);
  } catch (e) {
    show("state", String(e));
  }
  // For the test, which reads it in the access log.
  if (location.search === "?tell") {
    const shown = [...document.querySelectorAll("dd, #state")].map((e) => encodeURIComponent(e.textContent));
    fetch("/shown/" + shown.join("/"));
  }
})();
