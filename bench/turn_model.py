"""A scripted OpenAI-compatible server for `bench turn`: answers by the last word of the message, after a pause.

`python -m bench.turn_model PORT MILLISECONDS`
"""

import asyncio
import json
import sys
from typing import Any

from aiohttp import web

PLANS = {
    "plain": {"reply": "Hello!", "tool_calls": [], "then": "answer"},
    "read": {
        "reply": None,
        "tool_calls": [{"id": "s1", "tool": "lookup", "args": {"order_id": "A-1"}, "after": []}],
        "then": "answer",
    },
    "write": {
        "reply": None,
        "tool_calls": [{"id": "s1", "tool": "note", "args": {"order_id": "A-1"}, "after": []}],
        "then": "answer",
    },
}


def served(pause_s: float) -> web.Application:
    bodies = {word: _body(json.dumps(plan)) for word, plan in PLANS.items()}
    prose = _body("Your order is on its way.")

    async def answer(request: web.Request) -> web.Response:
        asked = await request.json()
        if pause_s:
            await asyncio.sleep(pause_s)
        last = str(asked["messages"][-1]["content"]).rsplit(maxsplit=1)[-1]
        return web.Response(body=bodies.get(last, prose), content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    return app


def _body(content: str) -> bytes:
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": content},
    }
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return json.dumps(
        {"id": "x", "object": "chat.completion", "model": "scripted", "choices": [choice], "usage": usage}
    ).encode()


if __name__ == "__main__":
    web.run_app(served(float(sys.argv[2]) / 1000), host="127.0.0.1", port=int(sys.argv[1]), print=None)
