import numpy as np
import polars as pl
import pytest
import torch

from homefeed.data.contract import write_dataset
from homefeed.data.sequences.append import append_sequences
from homefeed.data.specification import DatasetSpec
from homefeed.embedding import (
    EmbeddingConfig,
    UserVectors,
    embed_day,
    embed_users,
    item_vectors_for,
    merge,
    users_with_new_actions,
)
from homefeed.errors import ArtifactError, ConfigError
from homefeed.models.history import read_histories
from homefeed.models.user_encoders import load_user_encoder

T0_S = 1_600_000_000
DAY_S = 86_400


def everybody(store):
    return np.arange(1, store.meta.user_count + 1)


@pytest.mark.parametrize("kind", ["pinnerformer", "mean_recent"])
def test_a_batch_gives_each_user_the_vector_of_its_own_history(store, make_encoder, kind):
    folder, as_of_s = make_encoder(kind), T0_S + 5 * DAY_S
    table = embed_users(folder, store, everybody(store), as_of_s, EmbeddingConfig(batch_size=7))
    encoder = load_user_encoder(folder)
    assert table.user.tolist() == everybody(store).tolist()
    for user, vector in zip(table.user, table.vector, strict=True):
        rows = np.arange(store.meta.action_count)[store.rows(int(user))]
        past = [r for r in rows if store.available_s(np.array([r]))[0] <= as_of_s]
        newest_first = np.array([past[::-1][: encoder.history_length]], dtype=np.int64)
        if not past:
            assert not vector.any()
            continue
        (expected,) = encoder.embed(read_histories(store, newest_first)).numpy()
        assert vector == pytest.approx(expected, abs=1e-5)


def test_the_order_of_users_and_the_size_of_batches_change_nothing_beyond_rounding(
    store, make_encoder
):
    folder, as_of_s = make_encoder(), T0_S + 5 * DAY_S
    one = embed_users(folder, store, everybody(store), as_of_s, EmbeddingConfig(batch_size=1))
    many = embed_users(folder, store, everybody(store)[::-1], as_of_s)
    assert np.array_equal(one.user, many.user)
    assert one.vector == pytest.approx(many.vector, abs=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 20, 50])
def test_a_bound_on_the_tokens_of_a_batch_changes_nothing_beyond_rounding(
    store, make_encoder, batch_tokens
):
    folder, as_of_s = make_encoder(), T0_S + 5 * DAY_S
    free = embed_users(folder, store, everybody(store), as_of_s)
    bound = EmbeddingConfig(batch_tokens=batch_tokens)
    bounded = embed_users(folder, store, everybody(store), as_of_s, bound)
    assert np.array_equal(bounded.user, free.user)
    assert bounded.vector == pytest.approx(free.vector, abs=1e-5)


def test_batches_side_by_side_give_the_same_table_bit_for_bit(store, make_encoder):
    folder, as_of_s = make_encoder(), T0_S + 5 * DAY_S
    one_by_one, four_at_once = (
        embed_users(
            *(folder, store, everybody(store), as_of_s),
            EmbeddingConfig(batch_size=2, at_once=threads),
        )
        for threads in (1, 4)
    )
    assert np.array_equal(one_by_one.user, four_at_once.user)
    assert np.array_equal(one_by_one.vector, four_at_once.vector)


def test_a_daily_run_embeds_the_users_with_new_actions_and_equals_embedding_everybody(
    store, make_encoder
):
    folder, config = make_encoder(), EmbeddingConfig(batch_size=1)  # the same batches both ways
    table, embedded = None, []
    for day in range(1, 14):
        as_of_s = T0_S + day * DAY_S
        table, count = embed_day(folder, store, table, as_of_s, config)
        embedded.append(count)
        whole = embed_users(folder, store, table.user, as_of_s, config)
        assert np.array_equal(table.vector, whole.vector)
        first_s = [store.available_s(store.rows(int(u))).min() for u in everybody(store)]
        assert table.user.tolist() == everybody(store)[np.array(first_s) <= as_of_s].tolist()
    assert embedded[-1] < store.meta.user_count / 2  # late arrivals of the last days alone
    assert sum(embedded) > store.meta.user_count


def test_running_a_day_again_gives_the_same_table(store, make_encoder):
    folder = make_encoder()
    yesterday, _ = embed_day(folder, store, None, T0_S + DAY_S)
    first, _ = embed_day(folder, store, yesterday, T0_S + 2 * DAY_S)
    again, _ = embed_day(folder, store, yesterday, T0_S + 2 * DAY_S)
    assert np.array_equal(first.vector, again.vector)
    repeated, count = embed_day(folder, store, first, T0_S + 2 * DAY_S)
    assert count == 0
    assert np.array_equal(repeated.vector, first.vector)


def test_new_actions_are_found_by_availability_not_by_time(store):
    for day in range(0, 12):
        after_s, until_s = T0_S + day * DAY_S, T0_S + (day + 1) * DAY_S
        expected = [
            user
            for user in everybody(store)
            if ((a := store.available_s(store.rows(int(user)))) > after_s).any()
            and ((a > after_s) & (a <= until_s)).any()
        ]
        found = users_with_new_actions(store, after_s, until_s, scan_actions=7)  # many chunks
        assert found.tolist() == expected


def test_an_action_that_is_there_at_midnight_itself_is_new_on_the_day_that_ends_alone(store):
    told = 0
    for user in everybody(store):
        midnight, after = np.sort(store.available_s(store.rows(int(user))))[:2]
        if after > midnight:
            told += 1
            assert user in users_with_new_actions(store, midnight - DAY_S, midnight)
            assert user not in users_with_new_actions(store, midnight, after - 1)
    assert told


@pytest.mark.parametrize("kind", ["pinnerformer", "mean_recent"])
def test_an_action_at_midnight_itself_is_embedded_with_the_day_that_begins_there(
    store, make_encoder, tmp_path, kind
):
    """As in a log of dates alone: yesterday's store ended before it."""
    folder, midnight = make_encoder(kind), (T0_S // DAY_S + 12) * DAY_S
    yesterday, _ = embed_day(folder, store, None, midnight)
    rows = {"user_id": [1, 999], "item_id": [3, 3], "action_type": ["like"] * 2}
    rows |= {"timestamp": [midnight * 1000] * 2}
    spec = DatasetSpec(name="x", files={"actions": "a"}, positive=("like",), neutral=("view",))
    day = write_dataset(tmp_path / "day", spec, {"actions": pl.DataFrame(rows)})
    grown = append_sequences(store.path, day, tmp_path / "grown")
    today, _ = embed_day(folder, grown, yesterday, midnight + DAY_S)
    known, new = (int(grown.users.index(user)) for user in (1, 999))
    assert today.vector[today.user == new].any()
    before, after = (each.vector[each.user == known] for each in (yesterday, today))
    assert not np.array_equal(before, after)


def test_merging_takes_todays_row_where_both_have_one():
    yesterday = UserVectors(np.array([1, 3]), np.array([[1.0], [3.0]], np.float32), 10)
    today = UserVectors(np.array([2, 3]), np.array([[20.0], [30.0]], np.float32), 20)
    merged = merge(yesterday, today)
    assert merged.user.tolist() == [1, 2, 3]
    assert merged.vector.ravel().tolist() == [1, 20, 30]
    assert merged.as_of_s == 20


def test_tables_of_different_encoders_do_not_merge():
    narrow = UserVectors(np.array([1]), np.zeros((1, 2), np.float32), 10)
    wide = UserVectors(np.array([1]), np.zeros((1, 3), np.float32), 20)
    with pytest.raises(ArtifactError, match="width 2"):
        merge(narrow, wide)


def test_nobody_to_embed_gives_an_empty_table_of_the_right_width(store, make_encoder):
    table = embed_users(make_encoder(), store, np.array([], int), T0_S)
    assert table.vector.shape == (0, 8)


def test_a_table_survives_arrow_in_any_row_order():
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    table = UserVectors(np.array([2, 4, 6, 8, 9], np.int32), vectors, 7)
    shuffled = table.to_arrow().take([3, 0, 4, 1, 2])
    back = UserVectors.from_arrow(shuffled, 7)
    assert np.array_equal(back.user, table.user)
    assert np.array_equal(back.vector, table.vector)


def test_the_callers_thread_setting_is_left_as_it_was(store, make_encoder):
    before = torch.get_num_threads()
    embed_users(make_encoder(), store, everybody(store), T0_S + DAY_S, EmbeddingConfig(threads=2))
    assert torch.get_num_threads() == before


def test_an_encoder_of_another_vocabulary_is_refused(store, make_encoder):
    folder = make_encoder(items_hash="0" * 16)
    with pytest.raises(ArtifactError, match="does not extend it"):
        embed_users(folder, store, everybody(store), T0_S)


def test_items_that_joined_after_the_fit_have_zero_vectors(store, make_encoder, tmp_path):
    folder = make_encoder("mean_recent")
    more = pl.DataFrame(
        {"user_id": [1], "item_id": [999], "action_type": ["like"], "timestamp": [T0_S * 1000]}
    )
    spec = DatasetSpec(name="x", files={"actions": "a"}, positive=("like",), neutral=("view",))
    day = write_dataset(tmp_path / "more", spec, {"actions": more})
    grown = append_sequences(store.path, day, tmp_path / "grown")
    assert grown.meta.item_count == store.meta.item_count + 1
    vectors = item_vectors_for(load_user_encoder(folder), grown)
    assert len(vectors) == grown.meta.item_count + 1
    assert not vectors[-1].any()
    assert vectors[1:-1].any(axis=1).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_a_gpu_that_is_not_there_is_named_before_anything_is_read(store, make_encoder):
    with pytest.raises(ConfigError, match=r"training.device is cuda, and torch .* finds no CUDA"):
        embed_users(make_encoder(), store, everybody(store), T0_S, EmbeddingConfig(device="cuda"))


def test_an_action_that_is_there_at_the_as_of_itself_is_in_the_vector(store, make_encoder):
    folder, told = make_encoder(), 0
    for user in everybody(store):
        first_s = int(store.available_s(store.rows(int(user))).min())
        at, before = (embed_users(folder, store, [user], s).vector for s in (first_s, first_s - 1))
        told += bool(at.any())
        assert not before.any()
    assert told == len(everybody(store))


@pytest.mark.parametrize(
    ("actors", "changed", "used"), [(4, 20_000, 4), (4, 19_999, 0), (1, 10**6, 0), (0, 10**6, 0)]
)
def test_a_continued_day_takes_actors_where_there_are_several_and_many_users(actors, changed, used):
    config = EmbeddingConfig(num_workers=actors, gpus_per_worker=0.25, device="cuda")
    today = config.for_day(changed)
    assert (today.num_workers, today.device) == (used, "cuda")
    assert today.gpus_per_worker == (0.25 if used else 0)
