"""Which tests run: a definition and a state beside it, in the workspace's ``abtests`` folder.

``<name>.yaml`` is the definition, ``<name>.state.json`` says whether it runs. A server reads both
every few seconds, so starting a test is writing two files. The state holds the definition's hash:
a definition that was edited under a test is neither served nor analysed.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from homefeed.abtest.definition import Definition, read_definition, write_definition
from homefeed.artifacts import write_json
from homefeed.errors import ArtifactError, ConfigError, HomefeedError

FOLDER = "abtests"
RUNNING, STOPPED = "running", "stopped"
_STATE = ".state.json"
_LOCK_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Where a test stands."""

    status: str  # running or stopped
    definition_hash: str
    started_s: float  # by the clock of whoever started it: a world's is not the machine's
    order: int = 0  # counts the workspace's tests as they were started, whatever clocks say; 0: old
    champion: int | None = None  # the release that was live at the start: what is decided against
    stopped_s: float | None = None
    reason: str = ""  # why it was stopped


@dataclass(frozen=True, kw_only=True)
class RunningTests:
    """The tests that run, and what is wrong with those that should run but cannot be read."""

    definitions: tuple[Definition, ...] = ()  # as they were started
    problems: tuple[str, ...] = ()


def definition_path(workspace: Path, name: str) -> Path:
    """Where the definition of a test that was started lies."""
    return Path(workspace) / FOLDER / f"{name}.yaml"


def definition_of(workspace: Path, name: str) -> Definition:
    """The definition that a test was started with. ConfigError for an unknown or edited one."""
    return _unchanged(workspace, name, state_of(workspace, name))


def start_test(
    workspace: Path, definition: Definition, *, at_s: float, champion: int | None = None
) -> RunState:
    """Write definition and state. Starting the same test again changes nothing.

    Raises ConfigError: the name was used by another test, or another test runs in the layer (one
    release answers a request, so two tests of a layer would take each other's users).
    """
    _require_file_name(definition.name)
    with _one_at_a_time(workspace):
        return _start(workspace, definition, at_s, champion)


def _start(workspace: Path, definition: Definition, at_s: float, champion: int | None) -> RunState:
    path = _state_paths(workspace).get(definition.name)
    known = None if path is None else _read_state(path)
    if known is not None and (known.status, known.definition_hash) == (RUNNING, definition.hash):
        return known
    if known is not None:
        raise ConfigError(
            f"a test named {definition.name!r} is {known.status} already; give the new one "
            "another name, because exposures are counted by name"
        )
    running = running_definitions(workspace)
    if running.problems:  # nobody knows in which layer it runs once it is mended
        raise ConfigError(f"no test is started beside one that is broken: {running.problems[0]}")
    for other in running.definitions:
        if other.layer == definition.layer:
            raise ConfigError(
                f"test {other.name!r} runs in layer {other.layer!r}; stop it first, or give "
                f"{definition.name!r} another layer"
            )
    write_definition(definition_path(workspace, definition.name), definition)
    state = RunState(
        status=RUNNING,
        definition_hash=definition.hash,
        started_s=at_s,
        order=_next_order(workspace),
        champion=champion,
    )
    _write(workspace, definition.name, state)  # last: with it the test runs
    return state


def _next_order(workspace: Path) -> int:
    """One more than any test that runs has: two that run are never of one moment."""
    running = [_read_state(path) for path in _state_paths(workspace).values()]
    return 1 + max((state.order for state in running if state.status == RUNNING), default=0)


def stop_test(workspace: Path, name: str, *, at_s: float, reason: str) -> RunState:
    """End a test; its users go back to the champion. ConfigError for an unknown test."""
    with _one_at_a_time(workspace):
        known = state_of(workspace, name)
        if known.status == STOPPED:
            return known
        state = dataclasses.replace(known, status=STOPPED, stopped_s=at_s, reason=reason)
        _write(workspace, name, state)
        return state


def names_of_tests(workspace: Path) -> list[str]:
    """All tests that were ever started, readable or not."""
    return list(_state_paths(workspace))


def state_of(workspace: Path, name: str) -> RunState:
    """Where one test stands. Raises ConfigError for an unknown one, ArtifactError."""
    paths = _state_paths(workspace)
    if name not in paths:
        raise ConfigError(f"there is no test {name!r}; known: {', '.join(paths) or 'none'}")
    return _read_state(paths[name])


def running_definitions(workspace: Path) -> RunningTests:
    """Definitions of the running tests, each read apart: a broken one does not stop the others.

    The first that takes a user decides, so an older test comes first: it keeps its users.
    """
    started: list[tuple[RunState, Definition]] = []
    problems = []
    for name, path in _state_paths(workspace).items():
        try:
            state = _read_state(path)
            if state.status == RUNNING:
                started.append((state, _unchanged(workspace, name, state)))
        except (HomefeedError, OSError) as error:
            problems.append(f"test {name!r} cannot be read: {error}")
    started.sort(key=lambda each: (each[0].order, each[0].started_s, each[1].name))
    return RunningTests(
        definitions=tuple(definition for _, definition in started), problems=tuple(problems)
    )


def full_tests_before(workspace: Path, name: str) -> list[str]:
    """Running tests that were started before ``name`` and leave it nobody: their traffic is 1."""
    found: list[str] = []
    for definition in running_definitions(workspace).definitions:
        if definition.name == name:
            return found
        if definition.traffic >= 1:
            found.append(definition.name)
    return []  # it does not run


def _state_paths(workspace: Path) -> dict[str, Path]:
    return {
        path.name.removesuffix(_STATE): path
        for path in sorted((Path(workspace) / FOLDER).glob(f"*{_STATE}"))
        if not path.name.startswith(".")  # being written beside its place
    }


def _read_state(path: Path) -> RunState:
    try:
        state = RunState(**json.loads(path.read_text()))
        if not isinstance(state.started_s, int | float):
            raise TypeError(f"started_s is {state.started_s!r}")
        if not isinstance(state.order, int):
            raise TypeError(f"order is {state.order!r}")
        return state
    except (TypeError, ValueError, FileNotFoundError) as error:  # ValueError: no JSON, or no text
        raise ArtifactError(
            f"{path} is not a test's state ({error}); restore the file, or end the test by "
            "removing it: its users go back to the champion"
        ) from None


def _unchanged(workspace: Path, name: str, state: RunState) -> Definition:
    path = definition_path(workspace, name)
    definition = read_definition(path)
    if definition.hash != state.definition_hash:
        raise ConfigError(
            f"{path} was changed after test {name!r} was started; restore it, or stop the test and "
            "start another under a new name"
        )
    return definition


def _one_at_a_time(workspace: Path) -> FileLock:
    """Held while a test is started or stopped: two of a layer would take each other's users."""
    folder = Path(workspace) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock", timeout=_LOCK_TIMEOUT_S)


def _write(workspace: Path, name: str, state: RunState) -> None:
    write_json(Path(workspace) / FOLDER / f"{name}{_STATE}", dataclasses.asdict(state))


def _require_file_name(name: str) -> None:
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        raise ConfigError(f"a test's name is a file's name, found {name!r}; use letters and -")
