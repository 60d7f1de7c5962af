"""Impressions whose users the actions do not know."""

from dataclasses import replace

import polars as pl
import pytest

from homefeed.config import ChecksConfig
from homefeed.data.checks import check
from homefeed.errors import CheckRefused

START_S, NOW_S = 1_700_000_000, 1_750_000_000
LENIENT = ChecksConfig(max_rejected_share=0.5, max_duplicate_share=0.5)


def shown_to(users: list) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "request_id": [f"r{i}" for i in range(len(users))],
            "user_id": users,
            "item_id": [i % 10 for i in range(len(users))],
            "timestamp": [START_S + 60 * i for i in range(len(users))],
            "position": [1] * len(users),
            "click": [i % 2 for i in range(len(users))],
        }
    )


def test_users_who_only_look_are_counted_and_kept(open_set, actions, tmp_path):
    tables = {"actions": actions, "impressions": shown_to(["u0"] * 2 + ["looks"] * 18)}
    report = check(open_set(tables=tables, labels=["click"]), tmp_path / "a", LENIENT, NOW_S)
    (unseen,) = [e for e in report.expectations if e.reason == "user_unseen"]
    assert (unseen.broken, unseen.rows, unseen.passed) == (18, 20, True)
    assert report.tables["impressions"].kept == 20


def test_impressions_that_name_their_users_otherwise_than_the_actions_are_refused(
    open_set, actions, tmp_path
):
    tables = {"actions": actions, "impressions": shown_to(["user-0", "user-1"] * 10)}
    dataset = open_set(tables=tables, labels=["click"])
    with pytest.raises(CheckRefused, match=r"`user_id has an action` fails for 20 of 20 .*user-0"):
        check(dataset, tmp_path / "a", LENIENT, NOW_S)
    check(dataset, tmp_path / "b", replace(LENIENT, max_unseen_user_share=1.0), NOW_S)


def test_one_day_may_show_items_to_users_who_do_nothing_on_it(open_set, actions, tmp_path):
    so_far = open_set("a", tables={"actions": actions, "items": pl.DataFrame({"item_id": [9]})})
    tables = {"actions": actions, "impressions": shown_to(["looks"] * 20)}
    day = open_set("b", tables=tables, labels=["click"])
    limits = replace(LENIENT, max_unseen_item_share=1.0, max_rejected_share=1.0)
    report = check(day, tmp_path / "day", limits, NOW_S, known_items=[so_far])
    assert "user_unseen" not in {e.reason for e in report.expectations}
