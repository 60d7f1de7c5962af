"""The files behind one entry of ``files``: one file, a pattern, or a folder of parts.

Names are taken as they stand: Polars itself would read `shop[1]` as a pattern that means `shop1`.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from homefeed.errors import DatasetError

PARQUET = ".parquet"
CSV_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
ENDINGS = (PARQUET, *CSV_ENDINGS)


def file_parts(path: Path) -> list[Path]:
    """List the files behind one entry of ``files``: a file, a glob, or a folder of parts.

    A folder is read with the folders in it, such as `date=2024-01-31`. What Spark and others
    leave beside the parts (`_SUCCESS`, `.part-0.crc`) is passed over.
    """
    is_pattern = "*" in path.name and not path.is_dir()
    found = _visible(path.parent.glob(path.name)) if is_pattern else [path]
    parts = [part for each in found for part in (_below(each) if each.is_dir() else [each])]
    if found and not parts:
        raise DatasetError(f"{path} holds no part with a name in {', '.join(ENDINGS)}")
    if not parts or not parts[0].exists():
        raise DatasetError(f"{path} does not exist; correct `files` in dataset.yaml")
    if strange := [p for p in parts if not p.name.lower().endswith(ENDINGS)]:
        raise DatasetError(
            f"{strange[0]} has no ending that tells how to read it; write Parquet or CSV and name "
            f"it so ({', '.join(ENDINGS)})"
        )
    if empty := [p for p in parts if p.stat().st_size == 0]:
        raise DatasetError(f"{empty[0]} is empty (0 bytes); export it again")
    for part in filter(_is_text, parts):  # as such text it would fail with words that tell nobody
        begins = _first_bytes(part)
        if begins == b"PAR1":
            raise DatasetError(f"{part}: this is a Parquet file; name it {PARQUET}")
        if begins.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DatasetError(f"{part} is UTF-16 text; save it as UTF-8")
    return parts


def _below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All parts in the folder and the folders in it, in the order of their names.

    Raises DatasetError for a link to a folder that it lies in: its parts would be read again.
    """
    real = folder.resolve()
    if real in above:
        raise DatasetError(f"{folder} is a link to {real}, which holds it; remove the link")
    for path in _visible(folder.iterdir()):
        if path.is_dir():
            yield from _below(path, (*above, real))
        elif path.name.lower().endswith(ENDINGS):
            yield path


def _visible(paths: Iterable[Path]) -> list[Path]:
    return sorted(p for p in paths if not p.name.startswith((".", "_")))


def is_named_by_folders(path: Path, column: str) -> bool:
    """Whether the parts lie in folders that hold the column's values: `surface=home`."""
    folders = (part.parent.relative_to(path.parent).parts for part in file_parts(path))
    return any(folder.startswith(f"{column}=") for names in folders for folder in names)


def is_csv(path: Path) -> bool:
    """Whether the file, or any part of it, is text."""
    return any(_is_text(part) for part in file_parts(path))


def _is_text(part: Path) -> bool:
    return part.name.lower().endswith(CSV_ENDINGS)


def _first_bytes(part: Path) -> bytes:
    with part.open("rb") as file:
        return file.read(4)


def scan_file(path: Path) -> pl.LazyFrame:
    """Scan all parts in the order of their names; what a part lacks of the columns is null there.

    Raises DatasetError for a part that cannot be read.
    """
    parts = file_parts(path)
    if len(parts) == 1 or _are_alike(parts):
        return _with_whole_numbers(parts)
    return pl.concat([_with_whole_numbers([part]) for part in parts], how="diagonal_relaxed")


def _with_whole_numbers(parts: Sequence[Path]) -> pl.LazyFrame:
    """Scan parts that are alike; databases write whole numbers as decimals of no places."""
    schema = _schema(parts[0])
    whole = [n for n, dtype in schema.items() if isinstance(dtype, pl.Decimal) and not dtype.scale]
    return _scan(parts).with_columns(pl.col(whole).cast(pl.Int64, strict=False))


def _are_alike(parts: Sequence[Path]) -> bool:
    """Whether one scan can read them all: the same columns of the same types in the same order."""
    first, *others = [(_kind(part), list(_schema(part).items())) for part in parts]
    return all(other == first for other in others)


def _kind(part: Path) -> str:
    return max((".tsv", ".csv", PARQUET), key=part.name.lower().rfind)


def _schema(part: Path) -> pl.Schema:
    try:
        return _scan([part]).collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(part, error) from None


def _scan(parts: Sequence[Path]) -> pl.LazyFrame:
    if not _is_text(parts[0]):
        return pl.scan_parquet(parts, glob=False)
    separator = "\t" if _kind(parts[0]) == ".tsv" else ","
    return pl.scan_csv(parts, separator=separator, infer_schema=False, glob=False)


def unreadable(path: Path, error: Exception) -> DatasetError:
    """Say in one line that a file cannot be read."""
    reason = " ".join(str(error).split())[:120]
    kind = "CSV" if is_csv(path) else "Parquet"
    advice = "it may be cut short: export it again"
    if is_csv(path) and "utf-8" in reason:
        advice = "it is no UTF-8 text: save it as UTF-8"
    elif is_csv(path) and "more fields" in reason:
        reason, advice = "a line has more fields than the header", "quote fields that hold commas"
    return DatasetError(f"{path} is not a readable {kind} file ({reason}); {advice}")
