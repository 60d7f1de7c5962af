"""The pipeline *daily*: one more day of actions.

1. check      the day's rows alone (from the event log, or a folder); a bad day is refused
2. append     into the sequence store; idempotent
3. embed      users active that day, merged over yesterday's table, for every live encoder
4. publish    vectors, sequences and indexes; read back
5. freshness  how old is what serving reads

Running a day again repairs it: it starts from the day before. Each step can be re-run.
"""

from kfp import dsl

from components.append_day import append_day
from components.check_day import check_day
from components.embed_day import embed_day
from components.publish_features import publish_features
from components.report_freshness import report_freshness


@dsl.pipeline(name="daily", description="One more day: append, embed who was active, publish.")
def daily(
    data: str = "events",
    data_fingerprint: str = "",
    date: str = "",
    code_version: str = "",
    config: str = "cluster",
) -> None:
    """Run the steps above for ``date`` (empty: the day after the newest published one)."""
    common = {"config": config, "code_version": code_version}
    # What a day holds changes while its data's name does not: never taken from the cache.
    day = check_day(
        data=data, data_fingerprint=data_fingerprint, date=date, **common
    ).set_caching_options(enable_caching=False)
    appended = append_day(day=day.outputs["day"], code_version=code_version).outputs["appended"]
    snapshots = (
        embed_day(appended=appended, **common)
        .set_caching_options(enable_caching=False)
        .outputs["snapshots"]
    )
    published = publish_features(snapshots=snapshots, **common).set_caching_options(
        enable_caching=False
    )
    report_freshness(
        snapshots=snapshots, published=published.outputs["published"], **common
    ).set_caching_options(enable_caching=False)
