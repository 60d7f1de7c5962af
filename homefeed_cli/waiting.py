"""What takes longer than two seconds says so: what is waited for, and for how long by now.

On a terminal one line of standard error is redrawn each second; in a log there is a line once two
seconds have gone, and from then on one at most every 30 seconds.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from shutil import get_terminal_size

from homefeed.progress import Progress

SHORT_S = 2.0  # what ends within it says nothing
BEAT_S = 1.0  # a terminal is redrawn this often
SILENCE_S = 15.0  # how long a progress line stands on a terminal: a step prints one every 10 s
REDRAWN_S = 3.0  # how long one of this process stands: it is redrawn each second
LOGGED_S = 30.0  # between two lines of a log

Clock = Callable[[], float]


class StatusLine:
    """The last line of standard error: redrawn in place on a terminal, plain lines in a log."""

    def __init__(self) -> None:
        self.interactive = sys.stderr.isatty()
        self._is_drawn = False

    def show(self, text: str) -> None:
        """Show this text instead of what the line said before."""
        if self.interactive:
            width = get_terminal_size().columns - 1
            print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)
            self._is_drawn = True
        else:
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave nothing of it on a terminal."""
        if self._is_drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_drawn = False


class Elapsed:
    """What is waited for and since when; says when it is time for another line about it."""

    def __init__(
        self,
        what: str,
        *,
        interactive: bool,
        silence_s: float = SILENCE_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self.what, self.interactive, self.clock = what, interactive, clock
        self.silence_s = silence_s
        self.began_s = clock()
        self._due_s = self.began_s + SHORT_S
        self._is_told = False

    def line(self) -> str:
        """The line that is due by now; empty where none is."""
        now_s = self.clock()
        if now_s < self._due_s:
            return ""
        is_first, self._is_told = not self._is_told, True
        self._due_s = now_s if self.interactive else now_s + LOGGED_S
        if is_first and not self.interactive:
            return f"  {self.what}"
        return f"  {self.what}, {duration(now_s - self.began_s)}"

    def heard(self) -> None:
        """The work itself has shown where it is: that line stands for a while."""
        self._is_told = True
        self._due_s = self.clock() + (self.silence_s if self.interactive else LOGGED_S)


def duration(seconds: float) -> str:
    """``42 s``, or ``3 min 5 s``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextmanager
def beating(beat: Callable[[], None], every_s: float = BEAT_S) -> Iterator[None]:
    """Call ``beat`` at once and every so many seconds, from a thread of its own, until the body
    ends.
    """
    ended = threading.Event()

    def until_it_ends() -> None:
        try:
            beat()
            while not ended.wait(every_s):
                beat()
        except (OSError, ValueError):  # standard error was closed: nobody reads it
            return

    thread = threading.Thread(target=until_it_ends, name="elapsed time", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def waiting(
    what: str, *, quiet: bool, clock: Clock = time.monotonic, every_s: float = BEAT_S
) -> Iterator[None]:
    """Say on standard error that ``what`` goes on, where the body takes longer than two seconds.

    ``what`` reads like *checking my/folder*. A progress line that the body shows itself is left
    standing. ``quiet`` says nothing at all.
    """
    if quiet:
        yield
        return
    line = StatusLine()
    elapsed = Elapsed(what, interactive=line.interactive, silence_s=REDRAWN_S, clock=clock)
    seen = Progress.lines_shown

    def beat() -> None:
        nonlocal seen
        if Progress.lines_shown != seen:
            seen = Progress.lines_shown
            elapsed.heard()
        elif text := elapsed.line():
            line.show(text)

    try:
        with beating(beat, every_s):
            yield
    finally:
        line.clear()
