"""Midnight: the day that a life's event log holds goes into its store, snapshot and features.

The daily pipeline's own steps, but for the data check: what simulated users post is good.
"""

import shutil
from dataclasses import asdict
from pathlib import Path

from feature_repo.publish import publish
from homefeed.artifacts import write_json
from homefeed.config import Config
from homefeed.data.contract import Dataset
from homefeed.schema import EVENT_LOG_FILE
from homefeed.steps.daily import append_step, embed_day_step
from homefeed.steps.events import event_log_day
from homefeed.steps.lineage import champions_log, newest_day, remember
from loop.workspace import as_text


def refresh(config: Config, ends_s: int) -> None:
    """Take in everything since the newest published day, up to the midnight ``ends_s``."""
    base = newest_day(config.workspace, champions_log(config.workspace))
    folder = config.workspace / "days" / str(ends_s)
    known, day = Dataset.open(Path(base.checked)), folder / "day"
    _, watermark = event_log_day(
        config.workspace / EVENT_LOG_FILE, known, base.as_of_s, ends_s, day / "day"
    )
    place = {**asdict(base), "watermark": watermark}
    write_json(day / "day.json", {"ends_s": ends_s, "base": place})
    append_step(day, folder / "appended")
    _publish(config, folder)


def catch_up(config: Config, ends_s: int) -> None:
    """Publish the end of the log itself: a run's newest snapshot may be a day older than that."""
    base = newest_day(config.workspace, champions_log(config.workspace))
    if base.as_of_s >= ends_s:
        return
    folder = config.workspace / "days" / str(ends_s)
    appended = folder / "appended"
    appended.mkdir(parents=True)
    (appended / "store").symlink_to(base.store)
    (appended / "checked").symlink_to(base.checked)
    write_json(appended / "day.json", {"ends_s": ends_s, "base": asdict(base)})
    _publish(config, folder)


def _publish(config: Config, folder: Path) -> None:
    """Snapshots and sequences of the day in ``folder``, served from now on."""
    text, snapshots = as_text(config), folder / "snapshots"
    embed_day_step(folder / "appended", text, snapshots, folder / "piece")
    publish(snapshots, config, folder / "published.json")
    remember(snapshots, text)
    shutil.rmtree(folder)  # the lineage holds all that the next day starts from
