"""Progress of long work: one line that redraws on a terminal, plain lines in a log."""

import sys
import time
from typing import ClassVar

MARK = "…"  # begins a progress line in a log, so that whoever follows the log can redraw it


class Progress:
    """Shows ``label  done/total  rate  eta`` at most once a second (every ten in a log)."""

    lines_shown: ClassVar[int] = 0  # by all of this process: who shows elapsed time leaves them

    def __init__(self, label: str, total: int | None = None) -> None:
        self.label, self.total, self.done = label, total, 0
        self.start = self.shown = time.monotonic()
        self.interactive = sys.stderr.isatty()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more pieces of work done, and show it when it is time."""
        self.done += count
        now = time.monotonic()
        if now - self.shown >= (1.0 if self.interactive else 10.0):
            self.shown = now
            self._show(now, note)

    def _show(self, now: float, note: str) -> None:
        spent = now - self.start
        text = f"{self.label}  {self.done:,}"
        if self.total:
            left = spent / max(self.done, 1) * (self.total - self.done)
            text += f"/{self.total:,}  {100 * self.done / self.total:.0f} %  {left:.0f} s left"
        Progress.lines_shown += 1
        end = "" if self.interactive else "\n"
        start = "\r\x1b[K" if self.interactive else f"{MARK} "
        print(f"{start}{text}  {note}".rstrip(), end=end, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the line of an interactive display."""
        if self.interactive and self.shown != self.start:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
