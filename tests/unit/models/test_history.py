from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from homefeed.models.history import HistoryBatch, pack, pack_rows, read_histories
from homefeed.schema import ActionFlag

COLUMNS = ("item", "action", "surface", "time_s", "duration", "time_known")


def _store(actions: int = 50, seed: int = 0) -> SimpleNamespace:
    rng = np.random.default_rng(seed)
    return SimpleNamespace(
        item=rng.integers(1, 99, actions).astype(np.int32),
        action=rng.integers(1, 5, actions).astype(np.uint8),
        surface=rng.integers(1, 5, actions).astype(np.uint8),
        flags=rng.integers(0, 8, actions).astype(np.uint8),
        time_s=np.sort(rng.integers(1.6e9, 1.61e9, actions)).astype(np.uint32),
        duration=rng.uniform(0, 99, actions).astype(np.float16),
    )


def test_positions_newest_first_become_rows_oldest_first() -> None:
    store = _store()
    positions = np.array([[7, 6, 3], [-1, -1, -1], [12, -1, -1]])
    batch = read_histories(store, positions)
    assert batch.length.tolist() == [3, 0, 1]
    assert batch.item[0].tolist() == store.item[[3, 6, 7]].tolist()
    assert batch.item[1].tolist() == [0, 0, 0]
    assert batch.item[2].tolist() == [store.item[12], 0, 0]
    assert batch.time_s[0].tolist() == store.time_s[[3, 6, 7]].tolist()
    known = (store.flags[[3, 6, 7]] & ActionFlag.TIME_UNKNOWN) == 0
    assert batch.time_known[0].tolist() == known.tolist()
    assert not batch.time_known[1].any()
    positive = (store.flags[[3, 6, 7]] & ActionFlag.POSITIVE) != 0
    assert batch.positive.tolist()[:2] == [positive.tolist(), [False] * 3]
    assert batch.duration.dtype == torch.float32


def test_reading_from_an_empty_store_gives_empty_histories() -> None:
    batch = read_histories(_store(0), np.full((2, 5), -1))
    assert batch.length.tolist() == [0, 0]
    assert not batch.item.any()


@st.composite
def batches(draw: st.DrawFn) -> HistoryBatch:
    lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=6))
    store = _store(seed=draw(st.integers(0, 99)))
    positions = np.full((len(lengths), 9), -1)
    for row, length in enumerate(lengths):
        chosen = draw(st.permutations(range(50)))[:length]
        positions[row, :length] = sorted(chosen, reverse=True)
    return read_histories(store, positions)


@given(batches())
def test_packing_keeps_every_action_and_derives_times_as_a_loop_does(batch: HistoryBatch) -> None:
    packed, source = pack(batch)
    lengths = batch.length[source].tolist()
    assert lengths == sorted(lengths)
    assert sorted(source.tolist()) == batch.length.nonzero().flatten().tolist()
    token = 0
    for row in source.tolist():
        length = int(batch.length[row])
        known = batch.time_known[row, :length].tolist()
        times = batch.time_s[row, :length].tolist()
        newest = max((t for t, k in zip(times, known, strict=True) if k), default=0)
        for place in range(length):
            here = {c: getattr(packed, c)[token].item() for c in COLUMNS}
            for c in ("item", "action", "surface", "duration", "time_known"):
                assert here[c] == getattr(batch, c)[row, place].item()
            assert packed.place[token] == place
            assert packed.age_place[token] == length - 1 - place
            timed = known[place]
            assert packed.age_s[token] == (newest - times[place] if timed else 0)
            has_gap = timed and (place == 0 or known[place - 1])
            assert packed.gap_known[token] == has_gap
            expected = times[place] - times[place - 1] if has_gap and place else 0
            assert packed.gap_s[token] == expected
            token += 1
    assert token == len(packed.item)
    assert packed.last_token().tolist() == (np.cumsum(lengths) - 1).tolist()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_groups_cover_all_rows_once_and_waste_less_than_half(lengths: list[int]) -> None:
    lengths = np.sort(np.array(lengths))
    store = _store(int(lengths.sum()))
    packed = pack_rows(store, np.arange(lengths.sum()), lengths)
    assert packed.groups[0].rows.start == 0
    assert packed.groups[-1].rows.stop == len(lengths)
    assert packed.groups[-1].tokens.stop == lengths.sum()
    for group, after in zip(packed.groups, packed.groups[1:], strict=False):
        assert group.rows.stop == after.rows.start
        assert group.tokens.stop == after.tokens.start
    for group in packed.groups:
        in_group = lengths[group.rows]
        assert group.longest == in_group.max()
        assert group.longest <= max(1.5 * in_group.min(), 8)
        assert len(set(group.slot.tolist())) == in_group.sum()
        assert max(group.slot) < len(in_group) * group.longest


@pytest.mark.parametrize("longest", [1, 4])
def test_a_batch_of_empty_histories_packs_to_nothing(longest: int) -> None:
    packed, source = pack(read_histories(_store(), np.full((3, longest), -1)))
    assert len(source) == 0
    assert len(packed.item) == 0
