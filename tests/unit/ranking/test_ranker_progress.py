"""What a fit of rankers shows while it goes on."""

from itertools import count
from types import SimpleNamespace

from homefeed import progress
from homefeed.models.config import TransActConfig, variant
from homefeed.training.fit_ranker import RankerFit, run_ranker_fit
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.workers import Worker

SMALL = TransActConfig(item_dim=4, action_dim=4, ffn_dim=8, first_k=3, output_dim=6)


def test_the_loss_is_shown_from_the_first_report_on_and_never_as_no_number(
    training_set, store, tables, monkeypatch, capsys
):
    ranker = variant("full", user_vector="none", transact=SMALL, hidden=(8,))
    sizes = {"batch_rows": 64, "shard_rows": 32, "epochs": 0.5, "report_every": 3}
    clock = SimpleNamespace(monotonic=count(step=60).__next__)  # each step is due to be shown
    monkeypatch.setattr(progress, "time", clock)
    config = RankerFitConfig(rankers=(ranker,), **sizes)
    fit = RankerFit(config, training_set, store, tables, worker=Worker())
    run_ranker_fit(fit, None, None, show=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == fit.steps > 3
    assert ["loss" in line for line in lines] == [False] * 3 + [True] * (fit.steps - 3)
    assert not any("nan" in line for line in lines)
