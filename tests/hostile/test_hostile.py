"""Whatever a model returns, whatever users type: no write without its own token, each at most once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from llm_planner.tools import ToolRegistry
from llm_planner.turn.tokens import Tokens

from .doubles import AnyToken, Chatty, OpenRegistry
from .machine import Attack
from .world import World

STEPS = 40


def attack(world: World, examples: int) -> None:
    """Run the machine over one world; then look at everything that was kept."""
    case = type("Attack", (Attack,), {"world": world})
    rules = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        print_blob=False,
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(case, settings=rules)
    world.judge_rows()


@pytest.fixture
def worlds(db_url: str, tmp_path: Path) -> Iterator[list[World]]:
    made: list[World] = []
    yield made
    for world in made:
        world.close()


@pytest.mark.covers("rule.1", "rule.2", "rule.3", "verb.nothing-else", "verb.confirm-never-model", "rule.6")
def test_no_write_runs_without_its_own_token_from_its_own_session_and_each_at_most_once(
    worlds: list[World], db_url: str, tmp_path: Path
) -> None:
    world = World(db_url, tmp_path)
    worlds.append(world)
    attack(world, 48 if db_url.startswith("sqlite") else 8)
    assert world.effects > (100 if db_url.startswith("sqlite") else 5), (
        "an attack in which nothing happens shows nothing"
    )
    if db_url.startswith("sqlite"):
        assert world.turns > 2000, world.outcomes


@pytest.mark.parametrize(
    ("registry", "tokens", "finding"),
    [
        (OpenRegistry, Tokens, "an effect without a confirmation"),
        (ToolRegistry, AnyToken, "confirmed (with another token|by another session)"),
        (ToolRegistry, Chatty, "is in a model request"),
    ],
    ids=["no tool is a write", "any token will do", "tokens are not redacted"],
)
def test_the_attack_succeeds_when_the_gate_is_removed(
    registry: type[ToolRegistry], tokens: type[Tokens], finding: str, tmp_path: Path, sqlite_template: Path
) -> None:
    path = tmp_path / "open.db"
    path.write_bytes(sqlite_template.read_bytes())
    world = World(f"sqlite:///{path}", tmp_path, registry)
    world.mutate(tokens)
    try:
        with pytest.raises(AssertionError, match=finding):
            attack(world, 60)
    finally:
        world.close()
