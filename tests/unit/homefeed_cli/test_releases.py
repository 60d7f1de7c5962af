"""``homefeed promote`` and ``homefeed history`` as a person meets them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from homefeed.release import ReleaseRegistry, manifest
from homefeed.release.entries import Action
from homefeed_cli import releases


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Where the command line looks."""
    return tmp_path / ".homefeed"


@pytest.mark.parametrize(
    ("dataset", "run", "two"),
    [("world 1a2b3c4d", "lifecycle-1", True), ("world 1a2b3c4d", "", False), ("shop", "r", False)],
)
def test_history_tells_the_worlds_clock_from_the_machines(
    homefeed: Any, registry: ReleaseRegistry, make_manifest: Any, dataset: str, run: str, two: bool
) -> None:
    registry.run = run
    registry.register(make_manifest(dataset=dataset))
    registry.promote(1, "the first")
    assert ("in the world's own time" in homefeed("history").out) is two


@pytest.fixture
def refused(registry: ReleaseRegistry, make_manifest: Any) -> ReleaseRegistry:
    """Release 1 is champion, and the gate refused release 2; nobody judged release 3."""
    for name in ("first", "second", "third"):
        registry.register(make_manifest(name))
    registry.promote(1, "the first")
    registry.record(Action.REFUSE, 2, "HIT@3 save is 0.3 below")
    registry.record(Action.REFUSE, 1, "judged before it was champion")
    return registry


def test_a_release_that_the_gate_refused_is_not_promoted_by_hand(
    homefeed: Any, refused: ReleaseRegistry
) -> None:
    said = homefeed("promote", "2", "--reason", "I like it")
    assert (said.code, said.out) == (3, "")
    assert said.err == (
        "homefeed: the gate refused release 2 (ledger entry 2): HIT@3 save is 0.3 below; "
        "to promote it nevertheless, add --anyway\n"
    )
    assert homefeed("promote", "2", "--reason", "x", "--json").json["error"] == "PromotionRefused"
    assert refused.champion() == 1


def test_what_is_promoted_anyway_is_noted_so_and_is_asked_no_more_until_it_is_refused_again(
    homefeed: Any, refused: ReleaseRegistry
) -> None:
    assert homefeed("promote", "2", "--reason", "I like it", "--anyway").code == 0
    noted = "I like it (promoted anyway; the gate had refused it: HIT@3 save is 0.3 below)"
    assert (refused.champion(), refused.history()[-1].reason) == (2, noted)
    assert homefeed("promote", "3", "--reason", "another").code == 0
    assert homefeed("promote", "2", "--reason", "it was better").code == 0
    refused.promote(3, "another")
    refused.record(Action.REFUSE, 2, "worse by now")
    assert homefeed("promote", "2", "--reason", "it was better").code == 3


def test_a_release_that_no_gate_has_judged_is_promoted(
    homefeed: Any, refused: ReleaseRegistry
) -> None:
    assert homefeed("promote", "3", "--reason", "the third", "--anyway").code == 0
    assert refused.history()[-1].reason == "the third"


def test_what_is_wrong_besides_the_gate_is_told_as_before(
    homefeed: Any, refused: ReleaseRegistry
) -> None:
    again = homefeed("promote", "1", "--reason", "again")
    assert (again.code, "is the champion already" in again.err) == (2, True)
    blank = homefeed("promote", "2", "--reason", " ", "--anyway")
    assert (blank.code, "promote needs a reason" in blank.err) == (2, True)
    late = homefeed("promote", "2", "--reason", "x", "--anyway", "--expected-champion", "3")
    assert (late.code, "version 3 was expected" in late.err) == (2, True)
    assert refused.champion() == 1


@pytest.mark.parametrize(
    "words", [("promote", "2", "--anyway", "--reason", "x"), ("rollback", "--reason", "x")]
)
def test_what_was_decided_before_somebody_else_moved_the_champion_is_refused(
    words: tuple[str, ...],
    homefeed: Any,
    refused: ReleaseRegistry,
    make_manifest: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Publishing takes seconds; in these another operator's promotion goes through."""
    refused.register(make_manifest("fourth"))
    refused.promote(4, "the fourth")

    @contextmanager
    def published_while_another_promotes(*_: Any, **__: Any) -> Iterator[None]:
        refused.promote(3, "faster")
        yield

    monkeypatch.setattr(releases, "with_features", published_while_another_promotes)
    said = homefeed(*words)
    assert said.code == 2
    assert "version 3 (entry 5), version 4 was expected (entry 4): somebody else" in said.err
    assert refused.champion() == 3


@pytest.mark.parametrize("version", ["100000000000000000000", "0", "third"])
def test_a_version_that_no_release_can_have_is_one_clear_line(homefeed: Any, version: str) -> None:
    said = homefeed("promote", version, "--reason", "x")
    assert said.code == 2
    assert "Traceback" not in said.err
    assert version in said.err


def test_a_reason_in_bytes_that_are_no_utf_8_is_kept_escaped(
    homefeed: Any, refused: ReleaseRegistry
) -> None:
    assert homefeed("promote", "3", "--reason", "f\udcfcr Mai").code == 0
    assert refused.history()[-1].reason == "f\\udcfcr Mai"


def test_history_tells_releases_whose_manifest_this_program_does_not_read(
    homefeed: Any, registry: ReleaseRegistry, make_manifest: Any, monkeypatch: Any
) -> None:
    registry.run = "lifecycle-1"
    registry.register(make_manifest(dataset="world 1a2b3c4d"))
    registry.promote(1, "the first")
    monkeypatch.setattr(manifest, "RELEASE_VERSION", manifest.RELEASE_VERSION + 1)
    said = homefeed("history")
    assert said.code == 0
    assert "the first" in said.out
