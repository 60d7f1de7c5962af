"""The documentation holds what it says: commands parse, links resolve, keys and targets exist."""

import argparse
import dataclasses
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from homefeed.config import PROFILES, Config, load_config
from homefeed.errors import UsageError
from homefeed.plain_values import flatten
from homefeed.recipes import RECIPES, is_recipe_key, recipe
from homefeed_cli.main import parser
from pipelines.names import NAMES

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "infra/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
CONFIGURATION = ROOT / "docs" / "configuration.md"
PLACEHOLDER = re.compile(r"^(<[^>]+>|[A-Z][A-Z_]+)$")  # <id>, USER, RUN_ID
FENCE = re.compile(r"^ *```(?P<kind>\w*)\n(?P<text>.*?)^ *```", re.MULTILINE | re.DOTALL)
IN_A_POD = re.compile(r"^kubectl .*exec \S+ -- (?=homefeed )")
INDENTED = re.compile(r"^    (?P<line>\S.*)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def code_lines(page: Path) -> Iterator[str]:
    """Lines of fenced and of indented blocks, continuation lines joined."""
    text = page.read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        yield from block["text"].replace("\\\n", " ").splitlines()
    for line in INDENTED.finditer(FENCE.sub("", text)):
        yield line["line"]


def commands(program: str) -> list[tuple[str, str]]:
    """(page, line) of every line of code that calls ``program``."""
    written = ((name(page), line.strip()) for page in PAGES for line in code_lines(page))
    lines = ((page, IN_A_POD.sub("", line)) for page, line in written)
    return [(page, line) for page, line in lines if line.split(" ")[0] == program]


def words(line: str) -> list[str]:
    """A shell line's words without its comment; placeholders stand for some value."""
    split = shlex.split(line, comments=True)
    return ["1" if PLACEHOLDER.match(word) else word for word in split]


@cache
def command_line() -> argparse.ArgumentParser:
    return parser()


def table_rows(text: str) -> Iterator[list[str]]:
    """Cells of every table row whose first cell is code, without their backticks."""
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]


def documented(keys: str) -> dict[str, list[str]]:
    """Key → the other cells of its row, of configuration.md's ``Keys`` or ``Recipes`` section."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    section = text.split(f"\n## {keys}\n")[1].split("\n## ")[0]
    return {first: others for first, *others in table_rows(section)}


@pytest.mark.parametrize(("page", "line"), commands("homefeed"))
def test_every_command_in_the_documentation_parses(page: str, line: str) -> None:
    assert exit_code(words(line)[1:]) == 0, f"{page}: {line}"


def exit_code(arguments: list[str]) -> int:
    """0 where the command line takes them; 2 where it does not (the error says why)."""
    try:
        command_line().parse_args(arguments)
    except SystemExit as end:  # --help and --version end with 0
        return int(end.code or 0)
    except UsageError as error:
        return error.exit_code
    return 0


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert exit_code(words("homefeed serve --port 3000")[1:]) == 2
    assert exit_code(words("homefeed promote VERSION --reason 'better'  # a comment")[1:]) == 0


@pytest.mark.parametrize(("page", "line"), commands("homefeed"))
def test_every_value_that_a_command_sets_is_a_key_of_that_type(page: str, line: str) -> None:
    assignments = [
        w for word, w in zip(words(line), words(line)[1:], strict=False) if word == "--set"
    ]
    own = tuple(a for a in assignments if is_recipe_key(a))
    load_config(overrides=tuple(a for a in assignments if a not in own))
    recipe("small", own)


@pytest.mark.parametrize(
    ("page", "line"),
    [each for each in commands("homefeed") if re.search(r"pipeline (submit|schedule)", each[1])],
)
def test_data_that_are_submitted_lie_where_the_steps_see_them(page: str, line: str) -> None:
    """The claim that every step mounts at `storage.root` is all that they share with a person."""
    data = command_line().parse_args(words(line)[1:]).data
    root = str(PROFILES["cluster"]["storage"]["root"])
    assert data in ("events", "world") or data.startswith(f"{root}/"), f"{page}: {line}"


def test_the_documentation_shows_every_verb() -> None:
    shown = {" ".join(words(line)[1:]) for _, line in commands("homefeed")}
    missing = [verb for verb in verbs(command_line()) if not any(s.startswith(verb) for s in shown)]
    assert missing == []


def verbs(top: argparse.ArgumentParser, before: str = "") -> list[str]:
    """``run``, ``data show``, …: every verb that can be called."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            return [v for n, p in action.choices.items() for v in verbs(p, f"{before} {n}".strip())]
    return [before]


TREE = ("homefeed", "homefeed_cli", "components", "pipelines", "feature_repo", "serving")
FILE = re.compile(rf"`((?:{'|'.join(TREE)}|bench|tests|infra|docs)/[\w./-]+)`")
RECORDS = ("docs/adr/", "docs/lab_log.md")  # of their day: what they name may have moved since


@pytest.mark.parametrize("page", [p for p in PAGES if not name(p).startswith(RECORDS)], ids=name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = FILE.findall(page.read_text(encoding="utf-8"))
    assert [each for each in named if not (ROOT / each).exists()] == []


def test_the_architecture_tells_of_every_component_which_step_it_calls() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"\| `(components/\w+\.py)` \| `(homefeed/steps/\w+\.py)` \|", text))
    called = {}
    for file in (ROOT / "components").glob("*.py"):
        (module,) = re.findall(r"from homefeed\.steps\.(\w+) import", file.read_text()) or [""]
        if module:
            called[f"components/{file.name}"] = f"homefeed/steps/{module}.py"
    assert told == called


def test_every_name_that_the_page_of_parts_gives_is_in_its_file() -> None:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    places = re.findall(r"`([\w/]+\.py)`: (`\w+`(?:, `\w+`)*)", text)
    assert len(places) > 10
    for file, names in places:
        code = (ROOT / file).read_text(encoding="utf-8")
        for each in re.findall(r"\w+", names):
            assert re.search(rf"^(?:def |class )?{each}\b", code, re.M), f"{file}: {each}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_resolves(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.finditer(text):
        target, _, heading = link["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{name(page)} links to {link['target']}"
        if heading:
            assert heading in headings(file), f"{name(page)} links to {link['target']}"


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def test_every_page_is_reached_from_the_readme() -> None:
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        targets = (link["target"].partition("#")[0] for link in LINK.finditer(page.read_text()))
        left += [(page.parent / t).resolve() for t in targets if t and "://" not in t]
    assert [name(page) for page in PAGES if page not in reached] == []


def test_every_configuration_key_is_documented_with_its_default_and_nothing_else_is() -> None:
    defaults = flatten(dataclasses.asdict(Config()))
    rows = documented("Keys")
    assert sorted(rows) == sorted(defaults)
    written = {key: yaml.safe_load(cells[0]) if cells[0] else "" for key, cells in rows.items()}
    assert written == defaults


def test_the_documented_cluster_profile_is_the_built_in_one() -> None:
    rows = documented("Keys")
    written = {key: yaml.safe_load(cells[1]) for key, cells in rows.items() if cells[1]}
    assert written == {"profile": "cluster", **flatten(PROFILES["cluster"])}


def test_the_documented_recipes_are_the_recipes() -> None:
    rows = documented("Recipes")
    assert rows
    for place, size in enumerate(RECIPES):
        values = flatten(dataclasses.asdict(RECIPES[size]()))
        for key, cells in rows.items():
            written = None if cells[place] == "by the log" else yaml.safe_load(cells[place])
            found = list(values[key]) if isinstance(values[key], tuple) else values[key]
            assert written == found, f"{key} of {size}"


def test_every_make_target_that_is_mentioned_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        mentioned = re.findall(r"(?:`|^ *)make ([a-z][a-z-]*)", text, re.MULTILINE)
        assert set(mentioned) <= targets, name(page)


def test_every_pipeline_has_a_page_and_every_step_is_on_one() -> None:
    pages = {pipeline: ROOT / "docs" / "pipelines" / f"{pipeline}.md" for pipeline in NAMES}
    assert [pipeline for pipeline, page in pages.items() if not page.exists()] == []
    files = {file.stem for file in (ROOT / "components").glob("*.py")} - {"__init__", "component"}
    text = "".join(page.read_text(encoding="utf-8") for page in pages.values())
    steps = {stem.replace("_", "-") for stem in files}
    assert {step for step in steps if f"`{step}`" not in text} == set()


def test_every_decision_record_is_in_the_index_and_has_a_status() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    for record in records:
        assert f"({record.name})" in index
        assert re.search(
            r"^Status: (proposed|accepted|replaced by \d{4})$", record.read_text(), re.M
        )
