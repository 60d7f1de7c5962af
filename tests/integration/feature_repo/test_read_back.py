"""What was published is read back and compared bit for bit: another row is found out."""

import sqlite3
from dataclasses import replace

import pytest

from feature_repo import read_back
from feature_repo.client import FeatureStore
from feature_repo.definitions import EncoderView
from feature_repo.settings import StoreSettings
from homefeed.errors import FeatureStoreError

pytestmark = pytest.mark.integration

DAY_S = 86_400
TODAY_S = 20_000 * DAY_S
NOON_S = TODAY_S + DAY_S // 2
OLD = "aaaa1111" * 2


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("zeroblob(length(value))", r"gave back another row|does not answer"),
        (
            "(SELECT value FROM {table} WHERE feature_name = 'vector' ORDER BY rowid LIMIT 1)",
            "gave back another row of user_embedding",
        ),
    ],
    ids=["zeros", "another user's vector"],
)
def test_a_store_that_stores_something_else_is_found_out(
    tmp_path, clock, write_vectors, random_vectors, stored, told
):
    store = FeatureStore(tmp_path / "feast", settings=StoreSettings(), clock=clock)
    store.apply([EncoderView(hash=OLD, dim=8)])
    table = f"homefeed_user_embedding_{OLD[:8]}"
    with sqlite3.connect(store.connection.root / "online.db") as database:
        database.execute(
            f"CREATE TRIGGER bad_disk AFTER INSERT ON {table} WHEN new.feature_name = 'vector' "
            f"BEGIN UPDATE {table} SET value = {stored.format(table=table)} "
            "WHERE rowid = new.rowid; END"
        )
    with pytest.raises(FeatureStoreError, match=told):
        store.publish_user_vectors(OLD, write_vectors(random_vectors(1)), TODAY_S)


@pytest.mark.parametrize(
    "part",
    [
        "item_ids",
        "action_types",
        "surfaces",
        "times_s",
        "durations_s",
        "flags",
        "shown_items",
        "shown_ms",
        "earlier_items",
        "watermark",
    ],
)
def test_a_sequence_that_differs_in_any_part_is_found_out(store, sequences, monkeypatch, part):
    honest = read_back.stored_sequences

    def one_is_off(*given):
        sequence, watermark, as_of_s = honest(*given)[0]
        if part == "watermark":
            watermark += 1
        elif isinstance(getattr(sequence, part), tuple):
            sequence = replace(sequence, **{part: (*getattr(sequence, part)[::-1], "x")})
        else:
            sequence = replace(sequence, **{part: getattr(sequence, part) + 1})
        return [(sequence, watermark, as_of_s)]

    monkeypatch.setattr(read_back, "stored_sequences", one_is_off)
    with pytest.raises(FeatureStoreError, match="gave back another row"):
        store.publish_sequences(sequences(users=1), NOON_S - 10, watermark=41)
