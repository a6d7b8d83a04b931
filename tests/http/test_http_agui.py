"""The telling of a run is well-formed whatever news come, repeated, missing or out of order."""

from datetime import UTC, datetime
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from llm_planner.api.agui import Telling
from llm_planner.api.views import turn_json
from llm_planner.messages import ConfirmationView, StepStatus, StepView, TurnView
from llm_planner.turn.progress import CallBegan, CallEnded, News, Said, Stage, Unsaid

from ..agui import Run

STEPS = st.sampled_from(["s1", "s2", "s3"])
STATUSES = st.sampled_from(get_args(StepStatus))
HOMES = st.sampled_from(["t1", "t0"])
"""The run's own turn, or the one whose write it confirms: a run has steps of one plan."""
LATER = datetime(2026, 11, 26, tzinfo=UTC)


def _news(home: str) -> st.SearchStrategy[News]:
    return st.one_of(
        st.sampled_from([Stage("plan"), Stage("act"), Stage("answer"), Unsaid()]),
        st.builds(CallBegan, st.just(home), STEPS, st.just("echo"), st.just({"a": 1})),
        st.builds(CallEnded, st.just(home), STEPS, st.just("echo"), STATUSES, st.none(), st.none()),
        st.builds(Said, st.sampled_from(["no ", "on", " time"])),
    )


def _view(statuses: list[str], reply: str, asked: list[bool], home: str = "t1") -> TurnView:
    steps = tuple(StepView(f"s{n}", "echo", status) for n, status in enumerate(statuses, 1))  # type: ignore[arg-type]
    rows = tuple(
        ConfirmationView(f"c{n}", "K7QF2M9X", "echo", {}, "Echo", "user", LATER, home, f"s{n}", still)
        for n, still in enumerate(asked, 1)
    )
    return TurnView("demo", "t1", "m1", False, "answered", None, reply, rows, steps)


def _told(news: list[News], view: TurnView) -> Run:
    run, told = Run(), Telling("demo", "t1")
    turn: Any = turn_json(view, session_id="demo", duplicate=False)
    for events in [told.started(), *map(told.of, news), told.finished(view, turn)]:
        for event in events:
            run.take(event)
    assert run.turn == turn
    return run


@given(
    HOMES.flatmap(lambda home: st.tuples(st.just(home), st.lists(_news(home), max_size=12))),
    st.lists(STATUSES, max_size=3),
    st.sampled_from(["on time", "no on", "on"]),
    st.lists(st.booleans(), max_size=2),
)
def test_every_run_obeys_the_protocol_and_ends_with_the_whole_reply(
    heard: tuple[str, list[News]], statuses: list[str], reply: str, asked: list[bool]
) -> None:
    home, news = heard
    run = _told(news, _view(statuses, reply, asked, home))
    assert run.reply == reply
    assert len(run.events[-1]["outcome"].get("interrupts", ())) == sum(asked)


def test_what_was_streamed_is_not_said_again() -> None:
    run = _told([Said("on "), Said("time")], _view([], "on time\n\nsomething waits", []))
    deltas = [event["delta"] for event in run.all_of("TEXT_MESSAGE_CONTENT")]
    assert deltas == ["on ", "time", "\n\nsomething waits"]


def test_a_draft_that_is_not_the_reply_is_taken_back() -> None:
    run = _told([Said("on "), Unsaid(), Said("late")], _view([], "on time", []))
    assert run.texts == {"t1": "on ", "t1:2": "late", "t1:3": "on time"}
    assert run.withdrawn == {"t1", "t1:2"}


def test_a_step_that_was_never_called_is_no_call() -> None:
    run = _told([CallEnded("t1", "s2", "echo", "skipped", None, None)], _view(["error", "skipped"], "x", []))
    assert list(run.calls) == ["t1:s1"]
