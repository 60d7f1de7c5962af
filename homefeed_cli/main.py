"""``homefeed``: parse, start, print; every user error is one line."""

import argparse
import errno
import io
import json
import math
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from homefeed import __version__
from homefeed.errors import BusyError, HomefeedError, StorageError, UsageError
from homefeed_cli import ab, configuration, data, doctor, features, pipeline, releases, run, serve
from homefeed_cli.verb import Answer, Parser

DESCRIPTION = """\
Homefeed: raw user actions in, an A/B-tested ranker out, every step a versioned pipeline.

  run        the whole lifecycle, once, on a data set           homefeed run --data world
  data       look at a data set, import one, check one          homefeed data check my/folder
  pipeline   run, follow, compile and submit pipelines          homefeed pipeline list
  promote    make a release the champion; rollback, history     homefeed promote 3 --reason "..."
  features   what an arm reads online for one user; retire      homefeed features get alice
  serve      the two services over HTTP                         homefeed serve
  ab         A/B tests: start, status, analyze, stop            homefeed ab status
  config     each value and where it came from                  homefeed config show
  doctor     check the machine and the environment              homefeed doctor
"""
EPILOG = """\
Every verb has --help with an example, and --json. Exit codes: 0 done (a verdict of hold or
roll back included), 2 something that you can mend (one line says what), 3 refused by a data
check or by the promotion gate, 130 interrupted.
Everything local lives below .homefeed/ (storage.root). No telemetry; nothing is fetched.
"""

_OF_DISKS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EROFS, errno.EACCES, errno.EIO),
)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = Parser(
        prog="homefeed",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="homefeed VERB [options]",
    )
    top.add_argument("--version", action="version", version=f"homefeed {__version__}")
    parsers = top.add_subparsers(prog="homefeed", dest="verb", metavar="VERB", title="verbs")
    for module in (run, data, pipeline, releases, features, serve, ab, configuration, doctor):
        module.add(parsers)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):  # an id that a terminal cannot show is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    top = parser()
    try:
        args = top.parse_args(words)
    except UsageError as error:  # nothing is parsed yet, so the words themselves say how to answer
        return _say_error(error, error.exit_code, as_json="--json" in words)
    if args.verb is None:
        top.print_help()
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
    return run_verb(args)


def run_verb(args: argparse.Namespace) -> int:
    """Call ``args.run`` and print what it answers, or its error in one line; the exit code."""
    try:
        answer: Answer = args.run(args)
        _print(answer, args.json)
    except HomefeedError as error:
        return _say_error(error, error.exit_code, as_json=args.json)
    except KeyboardInterrupt:
        return _say_error(RuntimeError("interrupted"), 130, as_json=args.json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _say_error(_named(error), 2, as_json=args.json)
    return answer.exit_code


def _print(answer: Answer, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_finite(answer.data), indent=2, default=str, allow_nan=False))
    elif answer.text:
        print(answer.text)
    sys.stdout.flush()  # a reader that went away (`| head`) shows here, not at exit


def _finite(value: Any) -> Any:
    """``value`` with None for what JSON has no number for: NaN and the infinities."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _named(error: OSError) -> HomefeedError:
    """What the system refused; a lock or a connection is an OSError too, and no disk's."""
    if lock := getattr(error, "lock_file", None):  # filelock.Timeout
        return BusyError(f"another process holds {lock}; wait until it is done, or end it")
    reason = error.strerror or error
    if error.filename or error.errno in _OF_DISKS:
        said = f"{error.filename or 'the disk'}: {reason}"
        return StorageError(
            f"{said}; mend it, or use another folder with --set storage.root=FOLDER"
        )
    return HomefeedError(
        f"{type(error).__name__}: {reason}; if an address is wrong, `homefeed config show` has them"
    )


def _say_error(error: BaseException, code: int, *, as_json: bool) -> int:
    text = " ".join(str(error).split())
    if as_json:
        print(json.dumps({"error": type(error).__name__, "message": text, "exit_code": code}))
    print(f"homefeed: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
