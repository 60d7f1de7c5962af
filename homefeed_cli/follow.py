"""Run a pipeline here and show its steps as they go."""

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homefeed.errors import PipelineError
from homefeed.progress import MARK
from homefeed_cli.verb import config_of, recipe_overrides, where_it_lies
from homefeed_cli.waiting import BEAT_S, Clock, Elapsed, StatusLine, beating, waiting
from pipelines.runs import ARTIFACTS, Run, Step

RESULT = "="  # begins a line by which a step tells its result


class Display:
    """Steps, their results, and the progress of the one that runs; on standard error.

    A step that shows no progress of its own is shown with the seconds that it has run.
    """

    def __init__(self, pipeline: str, *, quiet: bool, clock: Clock = time.monotonic) -> None:
        self.pipeline, self.quiet, self.clock = pipeline, quiet, clock
        self.line = StatusLine()
        self.began_s = clock()
        self.current = ""
        self.results: list[str] = []
        self._elapsed = self._since(f"{pipeline}: starting")
        self._one_at_a_time = threading.Lock()  # lines come from the run, seconds from a thread

    @contextmanager
    def live(self, every_s: float = BEAT_S) -> Iterator[None]:
        """While it lasts, the running step's seconds go on; nothing is left of them."""
        if self.quiet:
            yield
            return
        try:
            with beating(self.beat, every_s):
                yield
        finally:
            self.line.clear()

    def beat(self) -> None:
        """Show how long the running step has run, where it is time for that."""
        with self._one_at_a_time:
            if text := self._elapsed.line():
                self.line.show(text)

    def listen(self, line: str, step: Step | None) -> None:
        """Take one line of the run's log, and the step that it changed, if one."""
        if self.quiet:
            return
        with self._one_at_a_time:
            if step is not None:
                self._step(step)
            text = line.strip()
            if text.startswith(f"{RESULT} "):
                self.results.append(text[2:])
            elif text.startswith(f"{MARK} "):
                self.line.show(f"  {self.current}: {text[2:]}")
                self._elapsed.heard()

    def _step(self, step: Step) -> None:
        self.line.clear()
        if step.status == "running":
            self.current, self.results = step.name, []
            self._elapsed = self._since(f"{step.name}: running")
            if self.line.interactive:
                self.line.show(f"  {step.name}: running")
            return
        mark = {"done": "✓", "cached": "=", "failed": "✗"}[step.status]
        took = "cached" if step.status == "cached" else f"{step.seconds:.1f} s"
        clock = time.strftime("%M:%S", time.gmtime(self.clock() - self.began_s))
        print(f"{clock}  {mark} {step.name:24} {took:>9}", file=sys.stderr)
        for result in self.results:
            print(f"           {result}", file=sys.stderr)
        self.results = []
        self._elapsed = self._since(f"{self.pipeline}: after {step.name}")

    def _since(self, what: str) -> Elapsed:
        return Elapsed(what, interactive=self.line.interactive, clock=self.clock)

    def finish(self, run: Run, place: str = "") -> None:
        """Say how the run ended; a failure names the step, its error and the log in the last lines.

        ``place`` is what `where_it_lies` gives.
        """
        if run.status != "succeeded":
            where = f"step {run.failed_step}" if run.failed_step else "the run"
            print(
                f"homefeed: {where} {run.status}: {run.error}\n"
                f"  log: homefeed pipeline logs {run.run_id}{place}\n"
                "  once it is mended, the same command goes on at the first step that it concerns",
                file=sys.stderr,
            )


def run_and_show(pipeline: str, data: str, recipe: str, date: str, args: argparse.Namespace) -> Run:
    """Run a pipeline on this machine, showing its steps; returns its record."""
    with waiting(f"{pipeline}: getting ready", quiet=args.json):
        from pipelines.catalogue import arguments_for
        from pipelines.code_version import code_version
        from pipelines.local import run_pipeline

        config = config_of(args)
        arguments = arguments_for(pipeline, config, data, recipe, date, recipe_overrides(args))
    display = Display(pipeline, quiet=args.json)
    with display.live():
        run = run_pipeline(pipeline, arguments, config, code_version(), display.listen)
    display.finish(run, where_it_lies(args))
    return run


def keep_report(run: Run, folder: Path) -> Path | None:
    """Put the page that a run wrote where `pipeline clean` leaves it; None where it wrote none."""
    if run.status != "succeeded" or "write-report" not in {step.name for step in run.steps}:
        return None
    report = folder / "report.html"
    report.write_bytes(output_of(folder, "write-report", "report").read_bytes())
    return report


def output_of(folder: Path, step: str, name: str) -> Path:
    """Where a step of this run wrote an artifact; PipelineError where it did not."""
    found = sorted((folder / ARTIFACTS).glob(f"*/{step}/{name}"))
    if not found:
        raise PipelineError(f"step {step} left no {name} below {folder}; see its log.txt")
    return found[-1]
