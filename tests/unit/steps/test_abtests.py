"""What a verdict asks for is done once; roll back moves a champion that lost, and no other."""

from collections.abc import Callable

import pytest

from homefeed.abtest.definition import parse_definition
from homefeed.abtest.running import start_test
from homefeed.errors import LedgerConflict
from homefeed.release import ReleaseRegistry
from homefeed.steps.abtests import carry_out


@pytest.fixture
def champion_is(registry: ReleaseRegistry, make_manifest: Callable) -> Callable[[int], None]:
    """Make one of three releases champion, after release 3 was it."""

    def champion_is(version: int) -> None:
        for name in ("first", "second", "third"):
            registry.register(make_manifest(name))
        for each in (3, version):
            registry.promote(each, reason="better")

    return champion_is


def asked(registry: ReleaseRegistry) -> list[str]:
    """What the ledger was asked to do since its champion stands."""
    return [f"{entry.action} {entry.to_version}" for entry in registry.history()[2:]]


@pytest.mark.parametrize(
    ("control", "champion", "done"),
    [
        ("b", 2, "hold 2"),
        ("b", 1, "rollback 3"),
        ("a", 1, "hold 1"),
        ("a", 2, "rollback 3"),
    ],
)
def test_roll_back_takes_the_champion_back_where_it_is_a_treatment_and_never_the_control(
    control: str, champion: int, done: str, registry: ReleaseRegistry, champion_is: Callable
) -> None:
    champion_is(champion)
    verdict = {"kind": "live A/B test", "test": "t", "decision": "rollback", "arm": None}
    verdict |= {"release": None, "reasons": ["worse"], "live": False, "control": control}
    verdict |= {"releases": {"a": 1, "b": 2}}
    said = carry_out(registry, registry.workspace, verdict, {}, 0.0)
    assert asked(registry) == [done]
    assert f"release {registry.champion()}" in said


def test_the_verdict_of_a_live_test_is_carried_out_once_and_each_test_has_its_own(
    registry: ReleaseRegistry, champion_is: Callable
) -> None:
    champion_is(2)
    verdict = {"kind": "live A/B test", "decision": "hold", "arm": None, "release": None}
    verdict |= {"reasons": ["no difference"], "live": True}
    values = {"arms": {"a": {"release": 1}, "b": {"release": 2}}, "primary": {"name": "requests"}}
    for name in ("t", "u"):
        definition = parse_definition({**values, "name": name, "layer": name})
        start_test(registry.workspace, definition, at_s=0.0)
    said = [
        carry_out(registry, registry.workspace, {**verdict, "test": name}, {}, 1.0)
        for name in ("t", "t", "u")
    ]
    stays = "hold: release 2 stays the champion"
    assert said == [stays, "already carried out (ledger entry 3: hold 2)", stays]
    assert asked(registry) == ["hold 2", "hold 2"]


def test_a_re_ranking_of_a_recorded_log_is_noted_once_in_each_run(
    registry: ReleaseRegistry, champion_is: Callable
) -> None:
    champion_is(2)
    verdict = {"kind": "paired re-ranking", "test": "t", "decision": "hold", "arm": None}
    verdict |= {"release": None, "reasons": ["no difference"], "live": False}
    said = []
    for registry.run in ("one", "one", "two", "", ""):
        said.append(carry_out(registry, registry.workspace, verdict, {}, 0.0))
    assert asked(registry) == ["hold 2"] * 4  # without a run nothing tells two of them apart
    assert said[1] == "already carried out (ledger entry 3: hold 2)"


def test_a_step_that_is_run_again_does_not_roll_back_twice(
    registry: ReleaseRegistry, champion_is: Callable
) -> None:
    champion_is(2)
    registry.run = "one"
    verdict = {"kind": "paired re-ranking", "test": "t", "decision": "rollback", "arm": None}
    verdict |= {"release": None, "reasons": ["worse"], "live": False}
    verdict |= {"releases": {"a": 1, "b": 2, "c": 3}, "control": "a"}
    for _ in range(2):
        carry_out(registry, registry.workspace, verdict, {}, 0.0)
    assert asked(registry) == ["rollback 3"]


@pytest.mark.parametrize("gated", [False, True])
def test_an_arm_that_was_never_compared_with_the_champion_does_not_replace_it(
    gated: bool, registry: ReleaseRegistry, champion_is: Callable
) -> None:
    champion_is(1)
    verdict = {"kind": "live A/B test", "test": "t", "decision": "ship", "arm": "b", "release": 3}
    verdict |= {"reasons": ["better"], "live": False, "champion": 1, "control": "a"}
    verdict |= {"releases": {"a": 2, "b": 3}}
    decisions = {"b": {"passed": True, "reason": "better on the holdout"}} if gated else {}
    said = carry_out(registry, registry.workspace, verdict, decisions, 0.0)
    assert asked(registry) == (["promote 3"] if gated else ["hold 1"])
    assert ("its control is release 2, not the champion 1" in said) is not gated


def test_a_winner_does_not_replace_a_champion_that_was_promoted_while_its_test_ran(
    registry: ReleaseRegistry, champion_is: Callable
) -> None:
    champion_is(2)
    verdict = {"kind": "live A/B test", "test": "t", "decision": "ship", "arm": "b", "release": 3}
    verdict |= {"reasons": ["better"], "live": False, "champion": 1, "control": "a"}
    verdict |= {"releases": {"a": 1, "b": 3}}
    with pytest.raises(LedgerConflict, match="champion is version 2, version 1 was expected"):
        carry_out(registry, registry.workspace, verdict, {}, 0.0)
    assert asked(registry) == []
