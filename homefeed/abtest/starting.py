"""Start a test and wait until a server answers with its arms; one that nobody serves is stopped."""

import time
from pathlib import Path
from typing import Any

from homefeed.abtest.definition import Definition
from homefeed.abtest.running import RunState, start_test, stop_test
from homefeed.errors import ServerError

READY_TIMEOUT_S = 120.0


def start_and_wait(
    workspace: Path,
    definition: Definition,
    url: str,
    *,
    at_s: float,
    champion: int | None,
    timeout_s: float = READY_TIMEOUT_S,
) -> RunState:
    """Start a test and return when the server at ``url`` answers with its arms.

    A test that nobody serves is stopped again: without an end it would begin whenever a server
    comes up, unwatched. Raises ServerError, which says so; one that ran before runs on.
    """
    state = start_test(workspace, definition, at_s=at_s, champion=champion)
    try:
        wait_for_arms(url, definition, timeout_s)
    except BaseException as error:  # whatever ended the waiting, nobody watches the test
        if state.started_s != at_s:
            raise
        reason = str(error) or "interrupted while it waited for a server"
        stop_test(workspace, definition.name, at_s=at_s, reason=reason)
        if not isinstance(error, ServerError | KeyboardInterrupt):
            raise
        stopped = f"{definition.name!r} was stopped, start it again under another name"
        raise type(error)(f"{reason}; {stopped}") from None
    return state


def wait_for_arms(url: str, definition: Definition, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Return when /readyz is ready and lists the test with the releases of its arms.

    It is asked once at least.
    Who stands outside the test is answered by the champion: without it the server is not ready.
    """
    import httpx

    wanted = {name: arm.release for name, arm in definition.arms.items()}
    deadline, said = time.monotonic() + timeout_s, "no answer"
    while True:
        try:
            ready = httpx.get(f"{url}/readyz", timeout=5.0, trust_env=False).json()
            tests = {t["name"]: t["arms"] for t in ready.get("tests", [])}
            found = tests.get(definition.name)
            arms_stand = found and {k: _release_of(v) for k, v in found.items()} == wanted
            if arms_stand and ready["ready"]:
                return
            said = str(ready)
        except (httpx.HTTPError, ValueError) as error:
            said = str(error) or type(error).__name__
        except (AttributeError, KeyError, TypeError):
            said = "its /readyz is not Homefeed's"
        if time.monotonic() >= deadline:
            break
        time.sleep(0.5)
    raise ServerError(
        f"no server at {url} reported the arms of {definition.name!r} within {timeout_s:.0f} s "
        f"(last: {said[:300]}); start one with `homefeed serve`"
    )


def _release_of(arm: Any) -> int:
    return int(arm["version"] if isinstance(arm, dict) else arm)
