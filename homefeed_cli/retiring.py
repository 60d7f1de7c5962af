"""Which encoders' vectors may go, and the way back for a release that is wanted again."""

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from homefeed.clock import DAY_S, WallClock
from homefeed.config import Config
from homefeed_cli.verb import Answer, table

if TYPE_CHECKING:
    from feature_repo.retiring import VectorView

SEQUENCES = "the sequences of all logs are kept: the releases of a log share them"


def retired(config: Config, *, dry_run: bool) -> Answer:
    """Remove the vectors that no live release reads; what went, what stayed and why.

    Raises where it is not sure which releases are live: see ``served_encoders``.
    """
    from feature_repo.publish import feature_store
    from homefeed.steps.live import judged_encoders, served_encoders

    store = feature_store(config)
    why, judged = served_encoders(config), judged_encoders(config)
    reason = partial(_why_kept, live=why, judged=judged)
    if dry_run:
        views = store.vector_views()
        kept = [view for view in views if reason(view)]
        gone = [view for view in views if not reason(view)]
        back: list[int] = []
    else:
        gone = store.retire(is_kept=lambda view: bool(reason(view)))
        kept = store.vector_views()
        back = _live_again(config, {view.encoder_hash for view in gone})
    data = {
        "dry_run": dry_run,
        "removed": [_row(view) for view in gone],
        "kept": [{**_row(view), "why": reason(view)} for view in kept],
        "published_again": back,
    }
    return Answer(data, _text(data))


def _why_kept(view: "VectorView", live: dict[str, list[str]], judged: set[str]) -> str:
    """Why a view stays; empty where it goes."""
    if view.encoder_hash in live:
        return "; ".join(live[view.encoder_hash])
    if not view.is_ours:
        return "another workspace declared it in the registry that both use"
    age_s = WallClock().now_s() - view.published_s
    if view.encoder_hash not in judged and age_s < DAY_S:  # a cluster's runs hold no lock here
        return (
            f"published {age_s / 3600:.1f} h ago, and the ledger has no entry about a release of "
            "it: a run may be under way; it goes after a day"
        )
    return ""


def _row(view: "VectorView") -> dict[str, Any]:
    return {
        **{"view": view.name, "encoder_hash": view.encoder_hash, "rows": view.rows},
        "services": list(view.services),
    }


def _text(data: dict[str, Any]) -> str:
    verb = "would remove" if data["dry_run"] else "removed"
    removed = [
        {**row, "rows": "not counted" if row["rows"] is None else f"{row['rows']:,}"}
        | {"services": ", ".join(row["services"]) or "none"}
        for row in data["removed"]
    ]
    lines = [f"{verb}:", table(removed, ["view", "rows", "services"])]
    if not removed:
        lines = ["nothing to remove"]
    lines += ["", "kept:", table(data["kept"], ["view", "why"]), SEQUENCES]
    back = data["published_again"]
    lines += [f"published again: release {version}, live by now" for version in back]
    return "\n".join(lines)


def _live_again(config: Config, gone: Collection[str]) -> list[int]:
    """Releases that became live between the look at the ledger and the removal: published again."""
    from homefeed.steps.live import served_encoders

    if not served_encoders(config).keys() & gone:
        return []
    from homefeed.release.registry import ReleaseRegistry
    from homefeed.steps.live import live_releases

    registry = ReleaseRegistry(config.workspace, tracking_uri=config.tracking_uri)
    return published_again(config, live_releases(registry).roles)


@contextmanager
def with_features(
    config: Config, versions: Collection[int], *, must: bool = True
) -> Iterator[None]:
    """Make releases live inside of this: what was retired of theirs is in the store again.

    Before, so that a server can load them at once; and once more afterwards, because a retirement
    that read the ledger before they were live may remove it meanwhile. What fails before raises,
    unless ``must`` is False; what fails afterwards is a warning.
    """
    with nullcontext() if must else suppress(Exception):  # in the end it is told
        published_again(config, versions)
    yield
    _try_to_publish(config, versions)


def published_again(config: Config, versions: Collection[int]) -> list[int]:
    """Publish the releases whose vectors are not in the store, where there is one; which."""
    from feature_repo.publish import feature_store, is_published, publish_release
    from homefeed.release.ledger import Ledger
    from homefeed.release.opened import Release
    from homefeed.schema import LEDGER_FILE

    if not feature_store(config).exists():
        return []  # nothing was ever published here, so nothing was retired
    ledger, done = Ledger(config.workspace / LEDGER_FILE), []
    for version in versions:
        manifest = ledger.manifest(version)
        if is_published(manifest.user_encoder.hash, config):
            continue
        release = Release(version=version, manifest=manifest, workspace=config.workspace)
        day = datetime.fromtimestamp(publish_release(release, config), UTC)
        print(
            f"homefeed: the features of release {version} were retired; published again as of "
            f"{day:%Y-%m-%d %H:%M} UTC, and the next daily run refreshes them",
            file=sys.stderr,
        )
        done.append(version)
    return done


def _try_to_publish(config: Config, versions: Collection[int]) -> None:
    try:
        published_again(config, versions)
    except Exception as error:  # of the ledger's verb nothing may depend on the feature store
        said = " ".join(str(error).split()) or type(error).__name__
        named = ", ".join(map(str, versions))
        print(
            f"homefeed: warning: release {named} has no features in the store and they could not "
            f"be published: {said}; mend that, then `homefeed pipeline run daily` publishes them; "
            "until then a server goes on with the release that it serves",
            file=sys.stderr,
        )
