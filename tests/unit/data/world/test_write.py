import polars as pl
import pytest

from homefeed.artifacts import fingerprint
from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset, resolve
from homefeed.data.world import world_config, world_dataset, write_world, write_world_day
from homefeed.errors import ConfigError


def test_equal_configurations_make_equal_bytes(dataset, config, tmp_path):
    write_world(tmp_path / "again", config)
    assert fingerprint(tmp_path / "again") == fingerprint(dataset.root)


@pytest.mark.parametrize("seed", ["seed", "log_seed", "response_seed"])
def test_every_seed_makes_another_log(seed, tmp_path):
    small = {"users": 60, "items": 100, "days": 4, "warmup_days": 1}
    one = write_world(tmp_path / "one", world_config("tiny", **small))
    other = write_world(tmp_path / "other", world_config("tiny", **small, **{seed: 99}))
    assert not one.scan("actions").collect().equals(other.scan("actions").collect())


def test_the_dataset_keeps_the_contract_and_shows_no_truth(dataset):
    opened = Dataset.open(dataset.root)
    assert opened.spec.live
    assert opened.spec.primary_label in opened.spec.labels
    found = {
        table: set(pl.read_parquet_schema(dataset.root / file))
        for table, file in opened.spec.files.items()
    }
    assert found == {
        "actions": {
            *("user_id", "item_id", "action_type", "timestamp", "surface", "duration_s"),
            *("request_id", "event_id", "arrived_at"),
        },
        "items": {"item_id", "text", "categories", "content", "created_at"},
        "collections": {"collection_id", "item_id", "timestamp"},
        "impressions": {
            *("request_id", "user_id", "item_id", "timestamp", "position", "surface"),
            *("propensity", "save", "click", "closeup", "hide"),
        },
    }


def test_labels_are_the_actions_of_their_request(dataset):
    actions, impressions = dataset.scan("actions").collect(), dataset.scan("impressions").collect()
    keys = ["request_id", "item_id"]
    for label in dataset.spec.labels:
        labelled = impressions.filter(pl.col(label) == 1).select(keys).sort(keys)
        acted = actions.filter((pl.col("surface") == "home") & (pl.col("action_type") == label))
        assert labelled.equals(acted.select(keys).sort(keys))
    together = actions.join(impressions, on=keys, suffix="_shown")
    assert (together["timestamp"] > together["timestamp_shown"]).all()
    assert (together["user_id"] == together["user_id_shown"]).all()


def test_pages_count_from_one_and_show_only_what_exists(dataset):
    impressions = dataset.scan("impressions").collect()
    pages = impressions.group_by("request_id").agg(
        pl.col("position").sort(), n=pl.len(), distinct=pl.col("item_id").n_unique()
    )
    assert (pages["n"] == pages["distinct"]).all()
    assert pages["n"].is_between(1, 25).all()
    assert pages["position"].list.max().equals(pages["n"].cast(pl.Int32), check_names=False)
    created = impressions.join(dataset.scan("items").collect(), on="item_id")
    assert len(created) == len(impressions)
    assert (created["created_at"] < created["timestamp"]).all()
    assert impressions["propensity"].is_between(0, 1, closed="right").all()


def test_lower_positions_get_fewer_actions(dataset):
    rate = dataset.scan("impressions").select(
        top=pl.col("closeup").filter(pl.col("position") <= 3).mean(),
        bottom=pl.col("closeup").filter(pl.col("position") >= 10).mean(),
    )
    top, bottom = rate.collect().row(0)
    assert bottom < 0.75 * top


def test_events_are_unique_inside_the_span_and_some_arrive_late(dataset):
    actions = dataset.scan("actions").collect()
    assert actions["event_id"].is_unique().mean() > 0.9999
    start_s, end_s = dataset.spec.span
    assert actions["timestamp"].is_between(start_s * 1000, end_s * 1000, closed="left").all()
    over = actions["timestamp"] + (actions["duration_s"] * 1000).cast(pl.Int64)
    assert (actions["arrived_at"] >= over).all()
    assert 0.002 < ((actions["arrived_at"] - over) > 600_000).mean() < 0.03


def test_a_day_written_alone_holds_the_rows_of_that_day(dataset, config, tmp_path):
    day = write_world_day(tmp_path / "day", config, 3)
    start_ms = (config.start_s + 3 * DAY_S) * 1000
    inside = pl.col("timestamp").is_between(start_ms, start_ms + DAY_S * 1000, closed="left")
    for table in ("actions", "impressions"):
        assert day.scan(table).collect().equals(dataset.scan(table).filter(inside).collect())
    new = day.scan("items").collect()
    assert new["created_at"].is_between(start_ms, start_ms + DAY_S * 1000, closed="left").all()
    assert len(new) > 0


def test_a_live_day_continues_the_log_with_new_items(dataset, config, tmp_path):
    day = write_world_day(tmp_path / "day", config, config.days)
    known = set(dataset.scan("items").collect()["item_id"])
    assert known.isdisjoint(day.scan("items").collect()["item_id"])
    assert day.spec.span[0] == dataset.spec.span[1]
    assert len(day.scan("impressions").collect()) > 0


def test_the_named_world_is_made_once(tmp_path):
    config = world_config("tiny", users=30, items=60, days=3, warmup_days=1)
    first = world_dataset(tmp_path, config)
    stamp = (first.root / "actions.parquet").stat().st_mtime_ns
    assert world_dataset(tmp_path, config).root == first.root
    assert (first.root / "actions.parquet").stat().st_mtime_ns == stamp


def test_the_name_world_means_the_world_that_a_run_made(tmp_path):
    config = world_config("tiny", users=30, items=60, days=3, warmup_days=1)
    made = world_dataset(tmp_path, config)
    assert resolve("world", tmp_path, config).root == made.root


def test_an_unknown_preset_and_an_impossible_size_are_refused():
    with pytest.raises(ConfigError, match=r"no world preset 'huge'.*tiny, small"):
        world_config("huge")
    with pytest.raises(ConfigError, match=r"world.users is 0; it must be at least 1"):
        world_config("tiny", users=0)
