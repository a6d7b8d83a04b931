"""The scripted model."""

import pytest

from llm_planner.errors import ModelBadAnswer, ModelUnavailable
from llm_planner.llm.scripted import ScriptedModel


async def test_answers_come_in_order_and_requests_are_kept(ask):
    model = ScriptedModel(
        ["one", ModelBadAnswer("bad"), lambda request: request.messages[-1].content.upper()]
    )
    assert (await model.complete(ask())).text == "one"
    with pytest.raises(ModelBadAnswer):
        await model.complete(ask())
    assert (await model.complete(ask(text="three"))).text == "THREE"
    with pytest.raises(ModelUnavailable, match="no more"):
        await model.complete(ask())
    assert len(model.requests) == 4


async def test_a_stream_gives_the_same_text_in_pieces(ask):
    model = ScriptedModel(["uno  dos tres"])
    pieces = [piece async for piece in model.stream(ask())]
    assert "".join(pieces) == "uno  dos tres"
    assert len(pieces) > 1
    await model.close()
