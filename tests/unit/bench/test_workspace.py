"""Which workspace a life may be copied from."""

import pytest
from loop.workspace import finished

from homefeed.artifacts import write_json
from homefeed.errors import ArtifactError
from homefeed.recipes import recipe, section_json
from homefeed.release.entries import Action
from homefeed.release.ledger import Ledger


def test_a_workspace_that_went_on_with_another_log_is_refused_by_its_name(tmp_path, make_manifest):
    arguments = {"data": "world", "world": section_json(recipe("tiny"), "world")}
    run = tmp_path / "runs" / "lifecycle-1"
    run.mkdir(parents=True)
    write_json(run / "run.json", {"arguments": arguments, "started": 1.0})
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.add_release(1, make_manifest(dataset="shop"), at_s=1.0)
    ledger.append(Action.PROMOTE, lambda _: 1, at_s=1.0, who="me", reason="first")
    with pytest.raises(ArtifactError, match="serves a release of the log `shop`"):
        finished(tmp_path)
