"""The benches whose help is their whole description show it in its own lines."""

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    "name", ["candidates", "closed_loop", "train_step", "tune_user_encoder", "world_scores"]
)
def test_a_long_help_keeps_the_lines_of_its_description(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit):
        bench.main()
    said = capsys.readouterr().out.splitlines()
    assert [line for line in (bench.__doc__ or "").splitlines() if line not in said] == []
