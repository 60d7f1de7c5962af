"""The command line in this process, in a workspace of its own; and the times of its display."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from homefeed_cli import waiting
from homefeed_cli.main import main


@dataclass
class Said:
    """What one call of the command line gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)


@pytest.fixture
def homefeed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Said]]:
    """Call ``homefeed`` with these words; it works in an empty folder."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def call(*words: str) -> Said:
        try:
            code = main(list(words))
        except SystemExit as ended:  # argparse: --help, and wrong words
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    yield call
    signal.signal(signal.SIGTERM, before)


class Terminal:
    """A real pseudo-terminal: a program writes at one end, a person would sit at the other."""

    END = b"\0"  # the kernel hands on what was written a little later: read until this

    def __init__(self) -> None:
        self._persons_end, programs_end = os.openpty()
        self.stream = os.fdopen(programs_end, "w", encoding="utf-8")
        self._read = b""

    def drawn(self) -> str:
        """All that it was told so far."""
        self.stream.flush()
        os.write(self.stream.fileno(), self.END)
        while not self._read.endswith(self.END):
            self._read += os.read(self._persons_end, 4096)
        self._read = self._read.removesuffix(self.END)
        return self._read.decode()

    def close(self) -> None:
        """Close both ends."""
        self.stream.close()
        os.close(self._persons_end)


@pytest.fixture
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Terminal]]:
    """Make standard error a terminal, once it is called: before the test begins is too early."""
    terminal = Terminal()

    def sit_at_it() -> Terminal:
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "stderr", terminal.stream)
        return terminal

    yield sit_at_it
    monkeypatch.undo()  # pytest writes to standard error again before this one is closed
    terminal.close()


class SetClock:
    """A clock that stands where the test put it."""

    BEGAN_S = 100.0  # not 0: what is shown counts from the beginning of the work

    def __init__(self) -> None:
        self.now_s = self.BEGAN_S

    def __call__(self) -> float:
        return self.now_s

    def stand_at(self, seconds: float) -> None:
        """Stand so many seconds after the beginning."""
        self.now_s = self.BEGAN_S + seconds


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds, as for a person."""
    monkeypatch.setattr(waiting, "SHORT_S", 2.0)


@pytest.fixture
def set_clock(short: None) -> SetClock:
    """A clock that the test sets, for a display that waits as it does for a person."""
    return SetClock()
