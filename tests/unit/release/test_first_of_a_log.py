"""Which release becomes champion without a test: the first of its log, and no other."""

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
