/* The console's chat: sends a message without leaving the page and shows the run while it lasts; then the
   page is loaded as the server makes it. Without this script the form does the same, more quietly. */
"use strict";

const composer = document.getElementById("composer");
const progress = document.getElementById("progress");
const log = document.getElementById("log");

document.getElementById("latest")?.scrollIntoView({ block: "nearest" });
composer.message.focus({ preventScroll: true });

composer.message.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});

for (const form of document.querySelectorAll('form[action="/console/chat/say"]')) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}

function bubble(kind, text) {
  const item = document.createElement("li");
  const said = document.createElement("p");
  said.className = `said said-${kind}`;
  said.textContent = text;
  item.append(said);
  log.append(item);
  item.scrollIntoView({ block: "nearest" });
  return said;
}

async function send(form) {
  const fields = new URLSearchParams(new FormData(form));
  if (form === composer) bubble("user", fields.get("message"));
  for (const button of document.querySelectorAll("main button")) button.disabled = true;
  progress.textContent = progress.dataset.working;
  progress.hidden = false;
  const run = new RunSoFar();
  let reply = null;
  try {
    const answer = await fetch(form.action, { method: "POST", body: fields, headers: { Accept: STREAM_TYPE } });
    const type = answer.headers.get("content-type") ?? "";
    if (!type.startsWith(STREAM_TYPE)) throw new RunError("no stream");
    const ended = await readTurn(answer, {
      onEvent(event) {
        run.take(event);
        progress.textContent = progress.dataset[run.stage] ?? progress.dataset.working;
        if (!run.text) return;
        reply ??= bubble("agent", "");
        reply.textContent = run.text;
      },
    });
    const query = new URLSearchParams({ session: ended.session, locale: fields.get("locale"), turn: ended.turn });
    location.assign(`/console/chat?${query}`);
  } catch {
    progress.textContent = progress.dataset.failed;
    for (const button of document.querySelectorAll("main button")) button.disabled = false;
  }
}
