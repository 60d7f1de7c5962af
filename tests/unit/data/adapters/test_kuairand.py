import polars as pl
import pytest

from homefeed.data.adapters import kuairand
from homefeed.data.contract import resolve
from homefeed.errors import DatasetError

LABELS = (
    "is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view",
    "is_profile_enter",
)  # fmt: skip
NOON_MS = 1_651_000_000_000


def impression(user, video, time_ms, *labels, play_time_ms=0) -> dict:
    row = {"user_id": user, "video_id": video, "time_ms": time_ms, "play_time_ms": play_time_ms}
    return {**row, "tab": 1, **{name: int(name in labels) for name in LABELS}}


@pytest.fixture
def folder(tmp_path):
    rows = [
        impression(1, 10, NOON_MS, "is_click", "long_view", "is_like", play_time_ms=2500),
        impression(1, 11, NOON_MS),  # the same request, neither played nor labelled
        impression(1, 12, NOON_MS + 1, play_time_ms=900),
        impression(2, 10, NOON_MS + 2, "is_click", "is_hate", play_time_ms=100),
        impression(2, 10, NOON_MS + 2, "is_click", "is_hate", play_time_ms=100),  # a copy
        impression(2, 11, NOON_MS + 2, "is_click", "is_follow"),
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / kuairand.LOG)
    history = {
        "user_id": [1, 3],
        "history_len": [2, 1],
        "last_time_ms": [NOON_MS + 5, NOON_MS - 9],
        "watch_seq": [[12, 10], [11]],
        "like_seq": [[10], []],
        "long_watch_seq": [[10], []],
    }
    pl.DataFrame(history).write_parquet(tmp_path / kuairand.HISTORY)
    videos = pl.DataFrame(
        {
            "video_id": [10, 11, 12],
            "author_id": [7, 7, 8],
            "video_type": ["NORMAL", "AD", "NORMAL"],
            "upload_dt": ["2022-04-10"] * 3,
            "upload_type": ["Web"] * 3,
            "video_duration": [1000.0, None, 3000.0],
            "server_width": [720.0] * 3,
            "server_height": [720.0] * 3,
            "music_id": [1, 2, 3],
            "music_type": [9.0, None, 4.0],
            "tag": ["39,68", None, "3"],
        }
    )
    videos.write_csv(tmp_path / "v.csv")
    import gzip

    (tmp_path / kuairand.VIDEOS).write_bytes(gzip.compress((tmp_path / "v.csv").read_bytes()))
    return tmp_path


def test_an_impression_is_one_action_of_its_most_telling_type(folder):
    rows = kuairand.tables(folder)[1]["actions"].filter("time_known")
    assert rows.select("user_id", "item_id", "action_type").rows() == [
        (1, 10, "like"),
        (1, 12, "watch"),
        (2, 10, "hate"),
        (2, 10, "hate"),
        (2, 11, "follow"),
    ]
    assert rows["duration_s"].to_list() == pytest.approx([2.5, 0.9, 0.1, 0.1, 0.0])


def test_histories_are_untimed_before_the_users_log_and_say_what_was_long_viewed(folder):
    spec, tables = kuairand.tables(folder)
    history = tables["actions"].filter(~pl.col("time_known"))
    assert history.select("user_id", "item_id", "action_type", "timestamp").rows() == [
        (1, 12, "watch", NOON_MS - 1),  # its own bound lay after the user's first impression
        (1, 10, "like", NOON_MS - 1),
        (3, 11, "watch", NOON_MS - 9),
    ]
    assert spec.neutral == ("watch",)


def written_history(folder, *, watch, like=(), long=()) -> list[tuple[int, str]]:
    rows = {"user_id": [9], "history_len": [len(watch)], "last_time_ms": [NOON_MS]}
    lists = {"watch_seq": [watch], "like_seq": [list(like)], "long_watch_seq": [list(long)]}
    schema = dict.fromkeys(lists, pl.List(pl.Int64))
    pl.DataFrame(rows | lists, schema_overrides=schema).write_parquet(folder / kuairand.HISTORY)
    history = kuairand.tables(folder)[1]["actions"].filter(~pl.col("time_known"))
    return history.select("item_id", "action_type").rows()


def test_of_a_video_shown_twice_and_long_viewed_once_the_latest_showing_is_the_long_view(folder):
    rows = written_history(folder, watch=[7, 8, 7, 9], long=[7, 9])
    assert rows == [(7, "watch"), (8, "watch"), (7, "long_view"), (9, "long_view")]


def test_long_views_older_than_the_impressions_kept_come_first_and_older_lone_likes_are_left_out(
    folder,
):
    rows = written_history(folder, watch=[1, 2], like=[3, 5, 2], long=[4, 3, 2, 1, 2])
    assert rows == [(4, "long_view"), (3, "like"), (2, "long_view"), (1, "long_view"), (2, "like")]


def test_impressions_keep_all_labels_and_a_copy_keeps_its_originals_place(folder):
    rows = kuairand.tables(folder)[1]["impressions"]
    assert rows.height == 6
    assert rows["position"].to_list() == [1, 2, 1, 1, 1, 2]
    assert rows["request_id"].to_list()[:2] == [f"1-{NOON_MS}"] * 2
    assert rows.row(0, named=True)["long_view"] == 1
    assert rows.is_duplicated().sum() == 2


def test_items_carry_categories_content_and_an_upload_time_but_no_statistics(folder):
    items = resolve(str(folder), folder / "workspace").scan("items").collect()
    first, second = items["categories"].to_list()[:2]
    assert first == [
        "tag:39", "tag:68", "author:7", "music:1", "type:NORMAL", "upload:Web", "music_type:9.0"
    ]  # fmt: skip
    assert second == ["author:7", "music:2", "type:AD", "upload:Web"]
    assert items["content"].list.len().to_list() == [2, 2, 2]
    assert items["created_at"][0] == 1_649_520_000_000  # midnight of 10 April in Beijing


def test_a_log_without_rows_is_one_clear_line(folder, tmp_path):
    log = folder / kuairand.LOG
    pl.read_parquet(log).clear().write_parquet(log)
    with pytest.raises(DatasetError, match=f"{kuairand.LOG} holds no rows; fetch it again"):
        resolve(str(folder), tmp_path / "workspace")
