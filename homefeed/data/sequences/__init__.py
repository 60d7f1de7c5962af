"""The sequence store: one row of memory-mapped actions per user."""

from homefeed.data.sequences.append import append_sequences
from homefeed.data.sequences.build import build_sequences
from homefeed.data.sequences.layout import StoreMeta
from homefeed.data.sequences.store import SequenceStore

__all__ = ["SequenceStore", "StoreMeta", "append_sequences", "build_sequences"]
