"""Compile pipelines to versioned YAML. The name carries the project's version and the commit."""

from pathlib import Path

from homefeed import __version__
from homefeed.artifacts import writing
from homefeed.errors import PipelineError
from pipelines.code_version import commit


def version_name() -> str:
    """What a compiled or uploaded pipeline is called: ``0.1.0-<commit>``."""
    return f"{__version__}-{commit()}"


def compile_pipeline(name: str, target: Path) -> Path:
    """Write the pipeline's YAML to ``target`` (a file, or a folder to put it in)."""
    from kfp import compiler

    from pipelines.catalogue import find

    if target.suffix not in (".yaml", ".yml"):
        target = target / f"{name}-{version_name()}.yaml"
    try:
        with writing(target) as beside:
            package = beside.with_suffix(".yaml")
            compiler.Compiler().compile(find(name), str(package))
            package.rename(beside)
    except ValueError as error:
        raise PipelineError(f"pipeline {name!r} does not compile: {error}") from None
    return target
