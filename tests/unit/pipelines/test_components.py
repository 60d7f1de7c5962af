"""What every component keeps: one file, words for it, a short body, nothing installed."""

import ast
import importlib
from pathlib import Path

import pytest

import components
from components.component import IMAGE

FOLDER = Path(components.__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ("__init__", "component"))
MOST_LINES = 40


def _function(name: str) -> ast.FunctionDef:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return function


@pytest.mark.parametrize("name", NAMES)
def test_a_component_is_one_function_named_as_its_file_with_words_and_a_short_body(
    name: str,
) -> None:
    function = _function(name)
    assert function.name == name
    assert ast.get_docstring(function)
    assert ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
    body = function.end_lineno - function.body[0].lineno + 1
    assert body <= MOST_LINES, f"{name}: {body} lines; move the work to homefeed/steps"


@pytest.mark.parametrize("name", NAMES)
def test_a_component_installs_nothing_and_runs_in_the_projects_image(name: str) -> None:
    made = getattr(importlib.import_module(f"components.{name}"), name)
    container = made.component_spec.implementation.container
    assert "pip install" not in " ".join([*container.command, *(container.args or [])])
    assert container.image == IMAGE


@pytest.mark.parametrize("name", NAMES)
def test_a_component_imports_what_it_uses_inside(name: str) -> None:
    """Its source alone is shipped, so a name from the module's top would be missing there."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert {node.module for node in top} == {"kfp", "components.component"}


@pytest.mark.parametrize("name", NAMES)
def test_a_component_knows_what_code_it_ran(name: str) -> None:
    """The code version is an input of every step, so that changed code is not served stale."""
    assert "code_version" in {argument.arg for argument in _function(name).args.args}
