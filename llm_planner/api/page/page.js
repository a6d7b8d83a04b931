/* The chat page: sends messages to /agent and shows turns, cards and the local mailbox.
   What comes from outside is only ever put in as text. */
"use strict";

const LONGEST = 8000; // characters, as the server counts them
const COUNT_FROM = 7000;
const TRIES = 5;
const LONGEST_PAUSE_S = 30;
const LONGEST_WAIT_MS = 630_000; // the server itself tells a turn for 600 s
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const $ = (id) => document.getElementById(id);
const cards = new Map(); // token -> card that can still be used
let language = startLanguage();
let session = remembered(sessionStorage, "session");
let atEnd = true; // whether the end of the conversation is in sight, and is to stay there
let logHeight = 0;
let turn = null; // the AbortController of the message that is on its way

/* Small things */

function remembered(storage, key) {
  try {
    return storage.getItem(`llm-planner.${key}`);
  } catch {
    return null;
  }
}

function remember(storage, key, value) {
  try {
    if (value === null) storage.removeItem(`llm-planner.${key}`);
    else storage.setItem(`llm-planner.${key}`, value);
  } catch {
    // storage is switched off: it lasts as long as the page
  }
}

function startLanguage() {
  const wanted = [remembered(localStorage, "language"), navigator.language.slice(0, 2).toLowerCase()];
  return wanted.find((name) => LANGUAGES.includes(name)) ?? "en";
}

/** The locale of a message: the browser's own tag while it speaks the chosen language. */
function locale() {
  const tag = navigator.language;
  return tag.toLowerCase().startsWith(language) && /^[a-z]{2}(-[a-z0-9]{2,8})*$/i.test(tag) ? tag : language;
}

function say(key) {
  return TEXTS[key][LANGUAGES.indexOf(language)];
}

/** A version 4 UUID, also on plain http, where randomUUID is missing. */
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** An element with this class and content; `text` and the children are never markup. */
function make(tag, name, ...content) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...content);
  return element;
}

/** An element with a text of ours, which follows the chosen language. */
function spoken(tag, name, key) {
  const element = make(tag, name, say(key));
  element.dataset.text = key;
  return element;
}

function speak() {
  document.documentElement.lang = language;
  document.title = say("assistant");
  $("language").value = language;
  const all = (selector) => document.querySelectorAll(selector);
  for (const element of all("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of all("[data-label]")) element.ariaLabel = say(element.dataset.label);
  for (const element of all("[data-hint]")) element.placeholder = say(element.dataset.hint);
  refreshComposer();
}

function time(moment) {
  const today = moment.toDateString() === new Date().toDateString();
  const style = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  const element = make("time", "", new Intl.DateTimeFormat(locale(), style).format(moment));
  element.dateTime = moment.toISOString();
  return element;
}

/* Text made harmless to an eye */

function escaped(char) {
  const units = Array.from({ length: char.length }, (_, at) => char.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

/** Foreign text: what would turn the reading direction stands as its number. */
function shown(text) {
  return text.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, escaped);
}

const ALPHABETS = ["Latin", "Cyrillic", "Greek", "Armenian", "Cherokee", "Coptic"];
const SCRIPTS = ALPHABETS.map((name) => new RegExp(`\\p{Script=${name}}`, "u"));

/** The letters of a word that come from another script than most of it, as numbers. */
function unmixed(word) {
  const chars = Array.from(word);
  const counts = SCRIPTS.map((script) => chars.filter((char) => script.test(char)).length);
  const main = SCRIPTS[counts.indexOf(Math.max(...counts))];
  const strange = (char) => !main.test(char) && SCRIPTS.some((script) => script.test(char));
  return chars.map((char) => (strange(char) ? escaped(char) : char)).join("");
}

const UNSEEN = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/** A value as JSON on one line; whatever is invisible or could mislead stands as its number. */
function exact(value) {
  const line = JSON.stringify(value, null, 1).replace(/,\n */g, ", ").replace(/\n */g, "");
  return line.replace(UNSEEN, escaped).replace(/[\p{L}\p{M}\p{N}_]+/gu, unmixed);
}

/** JSON whose numbers are shown as they came: 1.0 and 12345678901234567890 stay what they are. */
function parsed(text) {
  return JSON.parse(text, (_, value, from) => {
    const changed = typeof value === "number" && from && JSON.rawJSON && String(value) !== from.source;
    return changed ? JSON.rawJSON(from.source) : value;
  });
}

/* Talking to the server */

class Problem extends Error {
  constructor(detail, code) {
    super(detail);
    this.code = code;
  }
}

async function problemOf(response) {
  try {
    const { detail, title, code } = await response.json();
    return new Problem(detail || title || `HTTP ${response.status}`, code);
  } catch {
    return new Problem(`HTTP ${response.status}`);
  }
}

/** The turn of this request, shown while it runs. The same request is asked again while the server says when to
    come back, and where a stream broke off: the turn goes on without anybody listening. */
async function ask(request, stop, live) {
  for (let tried = 1; ; tried += 1) {
    const response = await fetch("agent", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream" },
      body: JSON.stringify(request),
      signal: AbortSignal.any([stop, AbortSignal.timeout(LONGEST_WAIT_MS)]),
    });
    let pause = Number(response.headers.get("retry-after") ?? NaN);
    try {
      if (response.ok) return { ...(await readTurn(response, { parse: parsed, onEvent: live() })), ahead: clockAhead(response) };
      if (response.status !== 503 || !(pause >= 0) || tried === TRIES) throw await problemOf(response);
    } catch (error) {
      if (stop.aborted || !(error instanceof RunError)) throw error;
      if (tried === TRIES) throw error.code ? new Problem(error.message, error.code) : error;
      pause = 1;
    }
    wait("again");
    await new Promise((resolve) => setTimeout(resolve, Math.min(pause, LONGEST_PAUSE_S) * 1000));
  }
}

/** How far this machine's clock is ahead of the server's, in milliseconds. */
function clockAhead(response) {
  const there = Date.parse(response.headers.get("date"));
  return Number.isNaN(there) ? 0 : Date.now() - there;
}

function wait(key) {
  $("waiting").hidden = key === null;
  $("waiting-text").textContent = key === null ? "" : say(key);
}

/** Send a new message, shown as the user's own. A card's own session comes with its button. */
function send(text, to = session) {
  const mine = addMessage("mine", "you", make("p", "said", shown(text)));
  const [, verb, token] = /^\s*(confirm|cancel)(?:ar)?\s+([\w-]+)\s*$/i.exec(text) ?? [];
  cards.get(token?.replaceAll("-", "").toUpperCase())?.close(`sent${verb.toLowerCase()}`);
  const request = { message: text, message_id: newId(), locale: locale() };
  if (to !== null) request.session_id = to;
  deliver(request, mine);
}

/** A message whose turn this page was left without: the server knows it by its id, and runs it once. */
function resume() {
  const request = JSON.parse(remembered(sessionStorage, "unanswered") ?? "null");
  if (request !== null) deliver(request, addMessage("mine", "you", make("p", "said", shown(request.message))));
}

/** Deliver one request, the first time or again, and show its turn or what went wrong. */
async function deliver(request, mine) {
  const stop = (turn = new AbortController());
  mine.querySelector(".trouble")?.remove();
  wait("thinking");
  remember(sessionStorage, "unanswered", JSON.stringify(request));
  refreshControls();
  const show = await ask(request, stop.signal, () => showLive(stop.signal)).then(
    (answer) => () => showTurn(answer),
    (error) => () => showTrouble(error, request, mine),
  );
  if (stop.signal.aborted) return; // another conversation has begun
  turn = null;
  endLive();
  wait(null);
  show();
  refreshControls();
  refreshMail();
}

function keepSession(id) {
  session = id;
  remember(sessionStorage, "session", id);
}

/* The conversation */

function addMessage(name, author, ...content) {
  $("welcome").hidden = true;
  const article = make("article", name, spoken("span", "unseen", author), ...content);
  $("log").append(article);
  if (article.offsetHeight < $("log").clientHeight) scrollToEnd();
  else {
    atEnd = false;
    article.scrollIntoView();
  }
  return article;
}

function scrollToEnd() {
  atEnd = true;
  $("log").scrollTop = $("log").scrollHeight;
}

/** Shows a run while it goes on, in a place of its own that the turn takes at its end; gets its events. */
function showLive(stop) {
  const run = new RunSoFar();
  endLive();
  return (event) => {
    if (stop.aborted) return;
    if (event.type === "RUN_STARTED" && session === null) keepSession(event.threadId);
    run.take(event);
    const stage = { plan: "thinking", act: "acting", answer: "answering" }[run.stage];
    if (stage) wait(stage);
    if (run.calls.size || run.text) drawLive(run);
  };
}

function drawLive(run) {
  const article = $("live") ?? addMessage("theirs", "assistant", make("ul", "steps"), make("p", "said"));
  article.id = "live";
  article.ariaHidden = "true"; // the whole turn is read out when it is there
  const rows = Array.from(run.calls.values(), ({ tool, status }) =>
    make("li", "", make("code", "", tool), statusOf(status ?? "running")),
  );
  article.querySelector(".steps").replaceChildren(...rows);
  article.querySelector(".said").textContent = shown(run.text);
  if (atEnd) scrollToEnd();
}

function endLive() {
  $("live")?.remove();
}

function showTurn(answer) {
  remember(sessionStorage, "unanswered", null);
  if (session === null) keepSession(answer.session_id);
  const asked = answer.confirmations.filter((confirmation) => confirmation.token !== null);
  const inWords = new Map();
  const prose = answer.reply.split("\n\n").filter((block) => {
    for (const confirmation of asked) {
      const read = readCard(block, confirmation);
      if (read) inWords.set(confirmation, read);
      if (read) return false;
    }
    return true;
  });
  const content = prose.length ? [make("p", "said", shown(prose.join("\n\n")))] : [];
  content.push(...asked.map((confirmation) => cardOf(confirmation, inWords.get(confirmation), answer)));
  if (answer.steps.length) content.push(stepsOf(answer.steps));
  addMessage("theirs", "assistant", ...content).dataset.status = answer.status;
}

/** The heading and the remarks of a card in words, where this part of a reply is one and nothing in it is
    missing from the card that is shown; else null, and the words stay as they are. */
function readCard(block, { token, summary, args }) {
  const lines = block.split("\n");
  const [, confirm, cancel] = lines.splice(-3);
  const heading = lines.shift();
  if (!heading?.startsWith("▣ ") || ![confirm, cancel].every((line) => line.endsWith(` ${token}`))) return null;
  if (lines[0] === `  ${summary}`) lines.shift();
  else if (!heading.endsWith(`: ${summary}`)) return null;
  const remarks = {};
  const entries = Object.entries(args);
  for (const [name, value] of entries) {
    if (lines.shift() !== `  • ${name}: ${exact(value)}`) return null;
    remarks[name] = /^ {4}\((.+)\)$/.exec(lines[0] ?? "")?.[1];
    if (remarks[name]) lines.shift();
  }
  return lines.length === (entries.length ? 0 : 1) ? { heading: heading.slice(2), remarks } : null;
}

function cardOf(confirmation, inWords, { session_id: home, ahead }) {
  const { token, tool, args, summary, expires_at: expires } = confirmation;
  const title = inWords ? make("h2", "", shown(inWords.heading)) : spoken("h2", "", "asks");
  const state = make("p", "state", spoken("span", "", "expires"), " ", time(new Date(expires)));
  const buttons = make("fieldset", "");
  buttons.ariaLabel = shown(summary);
  buttons.append(verbButton("confirm", "primary", token, home), verbButton("cancel", "quiet", token, home));
  buttons.append(make("span", "typed", spoken("span", "", "orWrite"), " ", make("code", "", `confirm ${token}`)));
  const card = make("section", "card", title);
  if (!inWords?.heading.endsWith(`: ${summary}`)) card.append(make("p", "summary", shown(summary)));
  card.append(make("p", "tool", spoken("span", "", "tool"), " ", make("code", "", tool)));
  card.append(argumentsOf(args, inWords?.remarks ?? {}), state, buttons);
  const close = (key) => {
    cards.delete(token);
    card.classList.add("closed");
    buttons.disabled = true;
    state.replaceChildren(spoken("span", "", key));
  };
  cards.set(token, { buttons, close });
  closeAt(Date.parse(expires) + ahead, token, close);
  return card;
}

function verbButton(verb, name, token, home) {
  const button = spoken("button", name, verb);
  button.type = "button";
  button.addEventListener("click", () => {
    $("log").focus({ preventScroll: true });
    send(`${verb} ${token}`, home);
  });
  return button;
}

function argumentsOf(args, remarks) {
  const entries = Object.entries(args);
  if (!entries.length) return spoken("p", "tool", "noArguments");
  const rows = entries.map(([name, value]) => {
    const row = make("div", "", make("dt", "", exact(name).slice(1, -1)), make("dd", "", exact(value)));
    if (remarks[name]) row.append(make("dd", "remark", shown(remarks[name])));
    return row;
  });
  return make("dl", "", ...rows);
}

/** The server decides what has expired; this only takes the buttons away in time. */
function closeAt(moment, token, close) {
  if (!cards.has(token)) return;
  const left = moment - Date.now();
  if (left <= 0) close("expired");
  else setTimeout(closeAt, Math.min(left, LONGEST_TIMER_MS), moment, token, close);
}

function stepsOf(steps) {
  const rows = steps.map(({ tool, status, ms, error }) => {
    const row = make("li", "", make("code", "", tool), statusOf(status), make("span", "ms", `${ms} ms`));
    if (error) row.append(make("p", "why", shown(error)));
    return row;
  });
  const summary = make("summary", "", spoken("span", "", "steps"), " ", make("span", "count", String(steps.length)));
  return make("details", "steps", summary, make("ul", "", ...rows));
}

function statusOf(status) {
  return status in TEXTS ? spoken("span", `status ${status}`, status) : make("span", "status", status);
}

function showTrouble(error, request, mine) {
  if (error instanceof Problem) remember(sessionStorage, "unanswered", null);
  if (error.code === "session_not_found") {
    if (session === request.session_id) keepSession(null);
    delete request.session_id;
  }
  const ours = error instanceof Problem;
  const again = spoken("button", "quiet", "retry");
  again.type = "button";
  again.addEventListener("click", () => deliver(request, mine));
  const what = make("p", "", spoken("strong", "", ours ? "failed" : "offline"), ours ? ` ${shown(error.message)}` : "");
  const trouble = make("div", "trouble", what, again);
  trouble.setAttribute("role", "alert");
  mine.append(trouble);
  trouble.scrollIntoView({ block: "nearest" });
}

function startFresh() {
  turn?.abort();
  turn = null;
  keepSession(null);
  remember(sessionStorage, "unanswered", null);
  cards.clear();
  for (const article of $("log").querySelectorAll("article")) article.remove();
  $("welcome").hidden = false;
  for (const element of $("welcome").querySelectorAll(".continued")) element.remove();
  wait(null);
  refreshControls();
  $("message").focus();
}

/* The composer */

function refreshControls() {
  for (const { buttons } of cards.values()) buttons.disabled = turn !== null;
  for (const again of document.querySelectorAll(".trouble button")) again.disabled = turn !== null;
  refreshComposer();
}

function refreshComposer() {
  const text = $("message").value;
  const count = Array.from(text).length;
  const amount = `${count.toLocaleString(language)} / ${LONGEST.toLocaleString(language)}`;
  const worth = count > LONGEST ? say("tooLong").replace("{count}", amount) : amount;
  $("length").textContent = count > COUNT_FROM ? worth : "";
  $("message").ariaInvalid = String(count > LONGEST);
  $("send").disabled = turn !== null || !text.trim() || count > LONGEST;
}

function submit() {
  refreshComposer();
  if ($("send").disabled) return;
  const text = $("message").value;
  $("message").value = "";
  send(text);
  $("message").focus();
}

/* The mailbox */

async function refreshMail() {
  if ($("mail").dataset.gone) return;
  try {
    const response = await fetch("page-mail");
    if (response.status === 404) $("mail").dataset.gone = "yes";
    if (response.ok) showMail((await response.json()).items);
  } catch {
    // the next turn asks again
  }
}

function showMail(items) {
  const first = $("mail").hidden;
  $("mail").hidden = false;
  if (first) $("mailbox").open = matchMedia("(min-width: 60rem)").matches;
  const known = new Map(Array.from($("letters").children, (letter) => [letter.dataset.id, letter]));
  for (const letter of known.values()) letter.classList.remove("fresh");
  const sorted = items.toSorted((one, other) => other.created_at.localeCompare(one.created_at));
  $("letters").replaceChildren(...sorted.map((item) => known.get(item.id) ?? letterOf(item, !first)));
  $("mail-count").textContent = items.length ? String(items.length) : "";
  $("mail-none").hidden = items.length > 0;
}

function letterOf({ id, destination, body, created_at: created }, fresh) {
  const summary = make("summary", "", make("span", "subject", shown(body.subject)), time(new Date(created)));
  const to = make("p", "to", spoken("span", "", "to"), " ", shown(destination));
  const letter = make("details", "", summary, to, make("p", "said", shown(body.text)));
  letter.open = fresh;
  const item = make("li", fresh ? "fresh" : "", letter);
  item.dataset.id = id;
  return item;
}

/* The start */

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("message").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
$("message").addEventListener("input", refreshComposer);
$("fresh").addEventListener("click", startFresh);
$("language").addEventListener("change", () => {
  language = $("language").value;
  remember(localStorage, "language", language);
  speak();
});
$("log").addEventListener("scroll", () => {
  const { scrollTop, clientHeight, scrollHeight } = $("log");
  if (clientHeight === logHeight) atEnd = scrollTop + clientHeight > scrollHeight - 8;
});
new ResizeObserver(() => {
  logHeight = $("log").clientHeight;
  if (atEnd) scrollToEnd();
}).observe($("log"));
if (session !== null) $("welcome").append(spoken("p", "continued", "continued"));
speak();
refreshMail();
resume();
$("message").focus();
