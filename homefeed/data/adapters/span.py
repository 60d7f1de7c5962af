"""The span of a public set: nobody declares it, so it is that of its times."""

from pathlib import Path

import polars as pl

from homefeed.errors import DatasetError


def span_of(file: Path, times_ms: pl.Series, last_ms: pl.Series | None = None) -> tuple[int, int]:
    """[start, end) in seconds: the first of ``times_ms`` to its last, or that of ``last_ms``.

    Raises DatasetError where ``file`` gave no times at all.
    """
    first, last = times_ms.min(), (times_ms if last_ms is None else last_ms).max()
    if first is None or last is None:
        raise DatasetError(f"{file} holds no rows; fetch it again")
    return int(first) // 1000, int(last) // 1000 + 1
