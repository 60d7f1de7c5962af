"""Compile pipelines to versioned YAML. The name carries the project's version and the commit."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from homefeed import __version__
from homefeed.artifacts import writing
from homefeed.errors import PipelineError
from pipelines.code_version import code_version, commit
from pipelines.placement import Placement, place

_CODE_DIGITS = 6


def version_name(placement: Placement = Placement()) -> str:  # noqa: B008 - it is frozen
    """What a compiled or uploaded pipeline is called: ``0.1.0-<commit>``.

    With uncommitted edits, ``0.1.0-<commit>-dirty-<6 digits of the code's hash>``; for another
    placement than the default, six digits more: two contents never share a name.
    """
    at = commit()
    if at.endswith("-dirty"):
        at += f"-{code_version().rpartition('+')[2][:_CODE_DIGITS]}"
    name = at if at == code_version() else f"{__version__}-{at}"
    return name + placement.suffix


def is_package(target: Path) -> bool:
    """Whether a target of ``compile_pipeline`` is a file; else it is a folder for one."""
    return target.suffix in (".yaml", ".yml")


def compile_pipeline(
    name: str,
    target: Path,
    placement: Placement = Placement(),  # noqa: B008 - it is frozen
) -> Path:
    """Write the pipeline's YAML to ``target`` (a file, or a folder to put it in)."""
    from kfp import compiler

    from pipelines.catalogue import find

    if not is_package(target):
        target = target / f"{name}-{version_name(placement)}.yaml"
    try:
        with writing(target) as beside, TemporaryDirectory() as folder:
            package = Path(folder) / "package.yaml"  # kfp asks for this ending
            compiler.Compiler().compile(find(name), str(package))
            place(package, placement)
            shutil.copyfile(package, beside)
    except ValueError as error:
        raise PipelineError(f"pipeline {name!r} does not compile: {error}") from None
    return target
