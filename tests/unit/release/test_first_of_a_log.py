"""Which release becomes champion without a test: the first of its log, and no other.

A champion that only another version of the code can read serves nobody, as if there were none.
"""

import json

from homefeed.models.ranker_description import RANKER_VERSION
from homefeed.release import manifest
from homefeed.steps.releases import why_first


def test_the_first_release_of_a_workspace_becomes_champion(registry):
    assert why_first(registry, "shop").startswith("the first release: there is nothing")


def test_a_log_that_has_a_champion_changes_it_by_a_test_only(registry, make_manifest):
    registry.promote(registry.register(make_manifest()), "first")
    assert why_first(registry, "shop") == ""


def test_another_log_gets_a_champion_of_its_own(registry, make_manifest):
    registry.promote(registry.register(make_manifest()), "first")
    reason = why_first(registry, "newsroom")
    assert reason == "the first release of newsroom: champion 1 was made from shop"


def test_a_champion_that_this_code_cannot_read_is_replaced(registry, make_manifest, workspace):
    registry.promote(registry.register(make_manifest()), "first")
    described = workspace / "rankers" / "first" / "ranker.json"
    values = json.loads(described.read_text())
    described.write_text(json.dumps({**values, "version": RANKER_VERSION}))
    assert why_first(registry, "shop") == ""
    described.write_text(json.dumps({**values, "version": 0}))
    reason = why_first(registry, "shop")
    assert reason == (
        f"the ranker of champion 1 has version 0, this code reads version {RANKER_VERSION}"
    )


def test_a_champion_that_is_missing_for_the_moment_stays(registry, make_manifest, workspace):
    registry.promote(registry.register(make_manifest()), "first")
    (workspace / "rankers" / "first" / "ranker.json").unlink()
    assert why_first(registry, "shop") == ""


def test_control_is_first_where_the_champions_manifest_is_of_a_schema_that_nobody_reads(
    registry, make_manifest, monkeypatch
):
    registry.promote(registry.register(make_manifest(dataset="shop")), reason="the first")
    monkeypatch.setattr(manifest, "RELEASE_VERSION", manifest.RELEASE_VERSION + 1)
    assert why_first(registry, "shop").startswith("champion 1 cannot be served: ")
