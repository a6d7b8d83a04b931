/* Turns over a stream (AG-UI events as server-sent events): what a page needs to show one while it runs.
   Loaded before the page's own script; what comes from outside is handed on as values, never as markup. */
"use strict";

const STREAM_TYPE = "text/event-stream";

/** The run ended without its turn. The turn itself may go on: the same message id finds it. */
class RunError extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/** The turn in an answer to a turn request, whether it was streamed or came whole. `onEvent` gets each event
    before; `parse` reads JSON. Throws RunError where the run failed or the stream broke off. */
async function readTurn(response, { parse = JSON.parse, onEvent = () => {} } = {}) {
  if (!response.headers.get("content-type")?.startsWith(STREAM_TYPE)) return parse(await response.text());
  for await (const text of eventsOf(response.body)) {
    const event = parse(text);
    if (event.type === "RUN_FINISHED") return event.result;
    if (event.type === "RUN_ERROR") throw new RunError(event.message, event.code);
    onEvent(event);
  }
  throw new RunError("the stream broke off");
}

/** The data of each server-sent event. Comments, which keep the connection open, are none. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(() => ({ done: true }));
      if (done) return;
      const blocks = (held + value).split("\n\n");
      held = blocks.pop();
      for (const block of blocks) {
        const lines = block.split("\n").filter((line) => line.startsWith("data:"));
        if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** What is known of a run so far: its stage, its calls, and the reply as far as it goes. */
class RunSoFar {
  stage = null;
  calls = new Map(); // toolCallId -> { tool, status }; status null while it runs
  text = "";

  take(event) {
    const { type, toolCallId: id } = event;
    if (type === "STEP_STARTED") this.stage = event.stepName;
    if (type === "TOOL_CALL_START") this.calls.set(id, { tool: event.toolCallName, status: null });
    if (type === "TOOL_CALL_RESULT" && this.calls.has(id)) this.calls.get(id).status = event.metadata.status;
    if (type === "TEXT_MESSAGE_START") this.text = "";
    if (type === "TEXT_MESSAGE_CONTENT") this.text += event.delta;
    if (type === "CUSTOM" && event.name === "llm-planner:draft-withdrawn") this.text = "";
  }
}
