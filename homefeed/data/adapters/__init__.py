"""Adapters turn public data, read where it lies, into the dataset contract.

An adapter is a module with NAME, VERSION (raised when its output changes), ``recognises(path)``,
``sources(path)`` (the files that are read, whose bytes name the result) and ``tables(path)``, which
returns the specification and the canonical tables.
"""

from pathlib import Path
from types import ModuleType

import polars as pl

from homefeed.artifacts import fingerprint, hash_json
from homefeed.data.adapters import deskdrop, kuairand, movielens, online_retail, plain_sequences
from homefeed.data.contract import HOW_TO_WRITE_ONE, Dataset, write_dataset
from homefeed.errors import DatasetError

ADAPTERS: tuple[ModuleType, ...] = (deskdrop, kuairand, online_retail, movielens, plain_sequences)


def adapter_for(path: Path) -> ModuleType:
    """The adapter that recognises ``path`` by its file names; DatasetError if none does."""
    for adapter in ADAPTERS:
        if adapter.recognises(path):
            return adapter
    names = ", ".join(adapter.NAME for adapter in ADAPTERS)
    first = plain_sequences.first_line(path) if path.is_file() else None
    found = f"; its first line is {first[:60]!r}, not `user item`" if first else ""
    raise DatasetError(
        f"{path} has no dataset.yaml and is none of the known sets ({names}){found}; "
        f"{HOW_TO_WRITE_ONE}"
    )


def adapt(path: Path, datasets: Path) -> Dataset:
    """Adapt ``path`` into ``datasets/<name>-<fingerprint>``; what is there already is reused."""
    adapter = adapter_for(path)
    files = adapter.sources(path)
    digest = hash_json([adapter.VERSION, [file.name for file in files], fingerprint(*files)])
    target = datasets / f"{adapter.NAME}-{digest[:12]}"
    if target.is_dir():
        return Dataset.open(target)
    try:
        spec, tables = adapter.tables(path)
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split())[:120]
        advice = "save it as UTF-8" if "utf-8" in reason else "fetch it again"
        raise DatasetError(
            f"{path} looks like {adapter.NAME} but cannot be read as such ({reason}); {advice}"
        ) from None
    return write_dataset(target, spec, tables)
