"""The pace: bursts, waits, holds, per lane, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_planner.delivery.cloud_api import PAIR
from llm_planner.delivery.pace import Lane, Limit, Pace
from llm_planner.testing.clock import FakeClock

LIMIT = Limit(6.0, 3)


@given(st.lists(st.floats(0.0, 30.0), max_size=60))
def test_no_stretch_of_time_holds_more_than_the_burst_and_the_rate(pauses):
    clock, taken, lane = FakeClock(), [], Lane("a", LIMIT)
    pace = Pace(clock)
    for pause in pauses:
        clock.advance(pause)
        if pace.take([lane]) == 0.0:
            taken.append(clock.monotonic())
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            allowed = LIMIT.burst + (taken[last] - taken[first]) / LIMIT.every_s
            assert last - first + 1 <= allowed + 1e-6


@given(st.integers(0, 20), st.floats(0.0, 100.0))
def test_the_wait_it_names_is_exactly_long_enough(count, pause):
    clock, lane = FakeClock(), Lane("a", LIMIT)
    pace = Pace(clock)
    for _ in range(count):
        pace.take([lane])
    clock.advance(pause)
    wait = pace.take([lane])
    if wait > 0.0:
        clock.advance(wait * 0.99)
        assert pace.take([lane]) > 0.0
        clock.advance(wait * 0.01 + 1e-6)
        assert pace.take([lane]) == 0.0


def test_whatsapp_lends_a_burst_of_45_and_is_paid_back_every_6_seconds():
    clock, lane = FakeClock(), Lane("pair", PAIR)
    pace = Pace(clock)
    assert [pace.take([lane]) for _ in range(45)] == [0.0] * 45
    assert pace.take([lane]) == pytest.approx(6.0)
    clock.advance(45 * 6.0)
    assert [pace.take([lane]) for _ in range(45)] == [0.0] * 45


def test_a_full_lane_takes_nothing_from_the_other():
    pace, narrow, wide = Pace(FakeClock()), Lane("pair", Limit(1.0, 1)), Lane("account", Limit(1.0, 2))
    assert pace.take([wide, narrow]) == 0.0
    assert pace.take([wide, narrow]) == pytest.approx(1.0)
    assert pace.take([wide]) == 0.0


def test_after_a_hold_there_is_no_burst():
    clock, lane = FakeClock(), Lane("a", LIMIT)
    pace = Pace(clock)
    pace.hold(lane, 10.0)
    assert pace.take([lane]) == pytest.approx(10.0)
    clock.advance(10.0)
    assert pace.take([lane]) == 0.0
    assert pace.take([lane]) == pytest.approx(6.0)


def test_a_shorter_hold_does_not_end_a_longer_one():
    pace, lane = Pace(FakeClock()), Lane("a", LIMIT)
    pace.hold(lane, 10.0)
    pace.hold(lane, 1.0)
    assert pace.take([lane]) == pytest.approx(10.0)


def test_users_who_rest_are_forgotten():
    clock = FakeClock()
    pace = Pace(clock)
    for number in range(30_000):
        clock.advance(0.01)
        pace.take([Lane(str(number), Limit(1.0, 1))])
    assert len(pace._full_at) <= 10_000
