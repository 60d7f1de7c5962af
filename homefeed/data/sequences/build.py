"""Build a sequence store out of core: stream the log, spill by partition, sort each partition.

Memory is bounded by a setting (and by the vocabularies), not by the number of actions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from homefeed.artifacts import writing
from homefeed.data.contract import Dataset
from homefeed.data.sequences.encode import RECORD, ActionEncoder
from homefeed.data.sequences.first_shown import FirstShown
from homefeed.data.sequences.layout import PARTITIONS, float16_up
from homefeed.data.sequences.order import Removed, in_store_order
from homefeed.data.sequences.reading import batches
from homefeed.data.sequences.spill import Spill
from homefeed.data.sequences.store import SequenceStore
from homefeed.data.sequences.writer import StoreWriter
from homefeed.data.vocabulary import Vocabulary
from homefeed.errors import ConfigError
from homefeed.progress import Progress
from homefeed.schema import ACTIONS

MIN_MEMORY_MB = 64
PIECE_ROW_BYTES = 5 * RECORD.itemsize  # a record, its sorted copy, keys and columns


def build_sequences(dataset: Dataset, out: Path, *, memory_mb: int = 512) -> SequenceStore:
    """Build the store of ``dataset`` at ``out`` and open it.

    The item vocabulary holds the items that were acted on or shown, in order of time, so that the
    vocabulary of a log that goes on later extends that of the log so far. Rows that came late break
    it: there, ``append_sequences`` keeps the indices.

    ``memory_mb`` bounds the working memory (64 or more).

    Raises DatasetError for an empty table or rows that the check step would have set aside.
    """
    require_memory(memory_mb)
    with writing(Path(out)) as beside:
        beside.mkdir()
        shown = FirstShown.read(dataset, Vocabulary(), memory_mb)
        encoder = ActionEncoder(dataset, Vocabulary(), Vocabulary(), shown)
        with spilled(dataset, encoder, beside / "spill", memory_mb) as spill:
            writer = StoreWriter(beside)
            duplicates = _write_sorted(spill, writer, max_records(memory_mb))
        writer.finish(
            encoder.users,
            encoder.items,
            encoder.action_types,
            encoder.surfaces,
            duplicates,
            dataset.fingerprint(),
        )
    return SequenceStore.open(out)


@contextmanager
def spilled(
    dataset: Dataset, encoder: ActionEncoder, folder: Path, memory_mb: int
) -> Iterator[Spill]:
    """Encode all actions of ``dataset`` into partition files that live as long as the block."""
    spill = Spill(folder)
    progress = Progress("sequences: reading actions")
    try:
        for batch in batches(dataset, ACTIONS, encoder.columns, memory_mb):
            spill.write(encoder.encode(batch))
            progress.advance(batch.height)
        encoder.finish()
        spill.close()
        progress.close()
        yield spill
    finally:
        spill.remove()


def _write_sorted(spill: Spill, writer: StoreWriter, limit: int) -> Removed:
    duplicates = Removed()
    for partition in range(PARTITIONS):
        for _, _, piece in spill.pieces(partition, limit):
            records, removed = in_store_order(piece)
            duplicates = duplicates.plus(removed)
            writer.write(records["user"], stored_columns(records))
    return duplicates


def stored_columns(records: np.ndarray) -> dict[str, np.ndarray]:
    """The store's columns, by name, of RECORD[n]."""
    return {
        "item": records["item"],
        "action": records["action"],
        "surface": records["surface"],
        "flags": records["flags"],
        "time_s": (records["time_ms"] // 1000).astype(np.uint32),
        "duration": float16_up(records["duration_s"]),
        "late_min": records["late_min"],
    }


def max_records(memory_mb: int) -> int:
    """How many records may be sorted at once."""
    return memory_mb * 1_000_000 // (2 * PIECE_ROW_BYTES)


def require_memory(memory_mb: int) -> None:
    """ConfigError where the bound is below what the vectorised steps need at all."""
    if memory_mb < MIN_MEMORY_MB:
        raise ConfigError(f"memory_mb is {memory_mb}; sequences need at least {MIN_MEMORY_MB}")
