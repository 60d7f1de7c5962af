"""Run a pipeline here and show its steps as they go."""

import argparse
import shutil
import sys
import time

from homefeed.progress import MARK
from homefeed_cli.verb import config_of, recipe_overrides
from pipelines.runs import Run, Step

RESULT = "="  # begins a line by which a step tells its result


class Display:
    """Steps, their results, and the progress of the one that runs; on standard error."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.interactive = sys.stderr.isatty()
        self.began = time.monotonic()
        self.current = ""
        self.results: list[str] = []

    def listen(self, line: str, step: Step | None) -> None:
        """Take one line of the run's log, and the step that it changed, if one."""
        if self.quiet:
            return
        if step is not None:
            self._step(step)
        text = line.strip()
        if text.startswith(f"{RESULT} "):
            self.results.append(text[2:])
        elif text.startswith(f"{MARK} "):
            self._redraw(f"  {self.current}: {text[2:]}")

    def _step(self, step: Step) -> None:
        self._clear()
        if step.status == "running":
            self.current, self.results = step.name, []
            self._redraw(f"  {step.name}: running", only_interactive=True)
            return
        mark = {"done": "✓", "cached": "=", "failed": "✗"}[step.status]
        took = "cached" if step.status == "cached" else f"{step.seconds:.1f} s"
        clock = time.strftime("%M:%S", time.gmtime(time.monotonic() - self.began))
        print(f"{clock}  {mark} {step.name:24} {took:>9}", file=sys.stderr)
        for result in self.results:
            print(f"           {result}", file=sys.stderr)
        self.results = []

    def _redraw(self, text: str, only_interactive: bool = False) -> None:
        if self.interactive:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)
        elif not only_interactive:
            print(text, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self.interactive:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def finish(self, run: Run) -> None:
        """Say how the run ended; a failure names the step and its error in the last lines."""
        self._clear()
        if run.status != "succeeded":
            where = f"step {run.failed_step}" if run.failed_step else "the run"
            print(
                f"homefeed: {where} {run.status}: {run.error}\n"
                f"  log: homefeed pipeline logs {run.run_id}\n"
                "  once it is mended, the same command goes on at the first step that it concerns",
                file=sys.stderr,
            )


def run_and_show(pipeline: str, data: str, recipe: str, date: str, args: argparse.Namespace) -> Run:
    """Run a pipeline on this machine, showing its steps; returns its record."""
    from pipelines.catalogue import arguments_for
    from pipelines.code_version import code_version
    from pipelines.local import run_pipeline

    config = config_of(args)
    arguments = arguments_for(pipeline, config, data, recipe, date, recipe_overrides(args))
    display = Display(quiet=args.json)
    run = run_pipeline(pipeline, arguments, config, code_version(), display.listen)
    display.finish(run)
    return run
