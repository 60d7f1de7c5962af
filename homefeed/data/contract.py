"""The dataset contract: a folder with ``dataset.yaml`` and its tables.

``resolve`` turns what a person typed after ``DATA=`` into a Dataset; ``Dataset.scan`` gives the
rows in canonical form, whoever wrote them.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from homefeed.artifacts import fingerprint, hash_json, writing
from homefeed.data.files import file_parts
from homefeed.data.specification import FILE_NAME, DatasetSpec, read_spec, spec_values, write_spec
from homefeed.data.tables import open_table, scan_table
from homefeed.errors import DatasetError
from homefeed.schema import ITEM_ID, TABLES, USER_ID

if TYPE_CHECKING:
    from homefeed.data.world import WorldConfig

__all__ = ["Dataset", "DatasetSpec", "resolve", "write_dataset"]

WORLD = "world"
HOW_TO_WRITE_ONE = (
    "write one with name, files (actions: …) and positive (a list of action types), "
    "see docs/bring-your-own-data.md"
)


@dataclass(frozen=True)
class Dataset:
    """A folder in the contract's form. Open it with ``Dataset.open``."""

    root: Path
    spec: DatasetSpec

    @classmethod
    def open(cls, root: Path) -> "Dataset":
        """Open a folder; every file, column and type is looked at, no row is read.

        Raises DatasetError: no dataset.yaml, unknown key, missing or truncated file, missing
        column, wrong type, an id that is a number in one table and text in another.
        """
        root = Path(root)
        path = root / FILE_NAME
        if not path.is_file():
            raise DatasetError(f"{root} has no {FILE_NAME}; {HOW_TO_WRITE_ONE}")
        dataset = cls(root, read_spec(path))
        dataset._require_equal_id_types()
        return dataset

    def has(self, table: str) -> bool:
        """Whether the data set has this table."""
        return table in self.spec.files

    def columns(self, table: str) -> tuple[str, ...]:
        """The canonical columns that the file really holds, in the contract's order."""
        return tuple(open_table(self.root, table, self.spec)[1])

    def scan(self, table: str) -> pl.LazyFrame:
        """Rows of ``table`` in the order of the log, with all canonical columns.

        Ids are Int64 or String, as found; times are Int64 milliseconds UTC; duration_s is
        Float32 (0 where absent), surface String ("" where absent), time_known Boolean (true
        where absent); other absent columns are null. Labels are Int8.
        """
        if not self.has(table):
            raise DatasetError(f"data set `{self.spec.name}` has no {table} table")
        return scan_table(self.root, table, self.spec)

    def fingerprint(self) -> str:
        """16 hexadecimal digits over the specification and the bytes of every file."""
        paths = [p for file in self.spec.files.values() for p in file_parts(self.root / file)]
        return hash_json([spec_values(self.spec), fingerprint(*paths)])

    def _require_equal_id_types(self) -> None:
        seen: dict[str, tuple[str, pl.DataType]] = {}
        for table in (t for t in TABLES if self.has(t)):
            raw, found = open_table(self.root, table, self.spec)
            schema = raw.collect_schema()
            for column in (c for c in (USER_ID, ITEM_ID) if c in found):
                is_text = not schema[found[column]].is_integer()
                first_table, first_is_text = seen.setdefault(column, (table, is_text))
                if is_text != first_is_text:
                    kinds = {True: "text", False: "whole numbers"}
                    raise DatasetError(
                        f"{self.root}: {column} is {kinds[first_is_text]} in {first_table} and "
                        f"{kinds[is_text]} in {table}; write it with one type"
                    )


def write_dataset(
    out: Path, spec: DatasetSpec, tables: Mapping[str, pl.DataFrame | pl.LazyFrame]
) -> Dataset:
    """Write canonical Parquet tables and dataset.yaml at ``out``, atomically; open the result.

    Times in ``tables`` are int64 milliseconds UTC. Lazy tables are streamed.
    """
    files = {table: f"{table}.parquet" for table in tables}
    spec = dataclasses.replace(spec, files=files, columns={}, timestamp_unit="ms")
    with writing(out) as beside:
        beside.mkdir()
        for table, rows in tables.items():
            if isinstance(rows, pl.LazyFrame):
                rows.sink_parquet(beside / files[table], maintain_order=True)
            else:
                rows.write_parquet(beside / files[table])
        write_spec(beside / FILE_NAME, spec)
    return Dataset.open(out)


def resolve(data: str, workspace: Path, world: "WorldConfig | None" = None) -> Dataset:
    """Turn a name or path into a data set, adapting a known public set below ``workspace``.

    ``data`` is "world" (made as ``world`` says, by default the small one), a folder with
    dataset.yaml, a folder that holds a known public set, or a plain ``user item`` sequence file.
    Raises DatasetError for anything else.
    """
    from homefeed.data.adapters import adapt

    if data == WORLD:
        from homefeed.data.world import world_dataset

        return world_dataset(Path(workspace), world)
    path = Path(data).expanduser()
    if not path.exists():
        raise DatasetError(f"{data} does not exist; give `{WORLD}`, a folder or a sequence file")
    if (path / FILE_NAME).is_file():
        return Dataset.open(path)
    return adapt(path, Path(workspace) / "datasets")
