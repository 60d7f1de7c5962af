"""One more day: check it, append it, embed who was active, say how fresh everything is."""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory

from homefeed.artifacts import read_json, write_json, writing
from homefeed.clock import WallClock
from homefeed.config import Config
from homefeed.data.checks import check
from homefeed.data.contract import Dataset, write_dataset
from homefeed.data.day import with_day
from homefeed.data.item_stats import build_item_stats
from homefeed.data.items import ItemTable, load_items
from homefeed.data.sequences import SequenceStore, append_sequences
from homefeed.embedding import UserVectors, require_same_items
from homefeed.errors import ArtifactError, HomefeedError, PipelineError
from homefeed.models.user_encoders import load_user_encoder
from homefeed.recipes import read_config
from homefeed.release.opened import find_snapshot, newest_snapshot
from homefeed.release.registry import ReleaseRegistry
from homefeed.report.piece import Figure, Piece, Table
from homefeed.report.pieces_data import TOO_LATE, check_piece
from homefeed.snapshots import Snapshot
from homefeed.steps.days import day_to_take
from homefeed.steps.lineage import day_in, moment_of, name_of, put_day
from homefeed.steps.live import live_encoders
from homefeed.steps.sequences import SEQUENCES, write_sequences
from homefeed.steps.snapshots import encoder_snapshots, write_stats


def check_day_step(data: str, date: str, config: str, out: Path, piece: Path) -> None:
    """Check one day; good rows and the day before's place at ``out``.

    ``data`` is ``events`` (the event log) or a folder that holds the day; an empty date means the
    first day with actions after the newest published one. Raises PipelineError as ``day_to_take``
    does; CheckRefused for a bad day, whose report is then at ``<out>.refused``.
    """
    where = read_config(config)
    source, base, ends_s = day_to_take(data, date, where.workspace)
    known = Dataset.open(Path(base.checked))
    refused = out.with_name(f"{out.name}.refused")  # what lies inside goes with a failed step
    with writing(out) as beside:
        beside.mkdir()
        raw, watermark = source.take(known, ends_s, beside / "raw")
        now_s = max(ends_s, WallClock().now_s())
        report = check(
            raw, beside / "day", where.checks, now_s, known_items=[known], refused=refused
        )
        place = dataclasses.asdict(base)
        if watermark is not None:
            place["watermark"] = watermark
        write_json(beside / "day.json", {"ends_s": ends_s, "base": place})
    check_piece(report, out / "day").save(piece)
    kept = sum(t.kept for t in report.tables.values())
    print(f"= {name_of(ends_s)}: {kept:,} good rows, after {name_of(base.as_of_s)}")


def append_step(day: Path, out: Path) -> None:
    """Append the day to the store it goes on from, and its rows to the checked data set."""
    described = read_json(day / "day.json")
    base, added = described["base"], Dataset.open(day / "day")
    known = Dataset.open(Path(base["checked"]))
    with writing(out) as beside:
        beside.mkdir()
        before = SequenceStore.open(Path(base["store"])).meta
        after = append_sequences(Path(base["store"]), added, beside / "store").meta
        _joined(known, added, described["ends_s"], beside / "checked")
        write_json(beside / "day.json", described)
    new = after.action_count - before.action_count
    again = after.duplicate_count - before.duplicate_count
    print(f"= {new:,} actions appended, {again:,} were there already")
    if too_late := after.never_count - before.never_count:
        print(f"= too late: {too_late:,} actions {TOO_LATE}")


def _joined(known: Dataset, added: Dataset, ends_s: int, out: Path) -> None:
    """Both data sets' rows, with the columns that either has; a row that both have is kept once.

    A day may tell more than the log before: when an action arrived, or how long it lasted.
    """
    tables = {}
    for table in known.spec.files:
        rows, found = known.scan(table), set(known.columns(table))
        if added.has(table):
            types = dict(rows.collect_schema())
            told = added.scan(table).select(list(types)).cast(types)
            rows = with_day(rows, told, table, list(known.columns(table)))
            found |= set(added.columns(table))
        tables[table] = rows.select(name for name in rows.collect_schema() if name in found)
    span = known.spec.span and (known.spec.span[0], max(known.spec.span[1], ends_s))
    write_dataset(out, dataclasses.replace(known.spec, span=span), tables)


def of_this_vocabulary(encoders: dict[str, Path], store: SequenceStore) -> dict[str, Path]:
    """Those whose item vocabulary the store extends; the others keep the snapshots they have.

    A log that was exported anew, or read by newer code, may number its items otherwise. Raises
    PipelineError where nothing that is live can be refreshed.
    """
    fitting, others = {}, []
    for encoder_hash, folder in encoders.items():
        try:
            require_same_items(load_user_encoder(folder), store)
            fitting[encoder_hash] = folder
        except ArtifactError as error:
            others.append(f"{folder.name} {encoder_hash}: {error}")
    if encoders and not fitting:
        raise PipelineError(
            f"no live encoder can be refreshed ({others[0]}); promote a release that was made "
            "since: homefeed history, homefeed promote"
        )
    for other in others:
        print(f"= keeps its snapshots: {other}")
    return fitting


def _yesterdays(
    workspace: Path, encoder_hash: str, as_of_s: int, store: SequenceStore
) -> UserVectors | None:
    """The vectors that the day's are merged over; None, told, where everybody is embedded.

    Vectors are merged by the users' numbers. A log that was exported again may number them anew,
    and may tell more of their past, so nobody's vector of before is sure to be theirs. A user's
    vector comes from the user's own actions alone: without a snapshot nothing but time is lost.
    """
    found = find_snapshot(workspace, encoder_hash, before_s=as_of_s + 1)
    if found is None:
        until = name_of(as_of_s)
        print(f"= embeds everybody: user encoder {encoder_hash} has no snapshot up to {until}")
        return None
    try:
        before = Snapshot.open(found, user_encoder_hash=encoder_hash)
    except ArtifactError as error:
        print(f"= embeds everybody: {error}")
        return None
    if before.numbers_users_as(store.users):
        return before.users
    print(
        f"= embeds everybody: the snapshot {before.path} numbers its users otherwise than the log "
        "does now"
    )
    return None


def _day_of_encoders(
    encoders: dict[str, Path],
    where: Config,
    base_s: int,
    store: SequenceStore,
    table: ItemTable,
    stats_of: dict[int, Path],
) -> list[dict]:
    """The day's snapshots, described; what goes wrong with one encoder stops no other.

    Of the champion's it is the error that it is. Raises PipelineError where none was made.
    """
    champions = _champions_encoder(where)
    made: list[dict] = []
    days, why = list(stats_of), "none of this log is live"
    for encoder_hash, folder in encoders.items():
        try:
            yesterday = _yesterdays(where.workspace, encoder_hash, base_s, store)
            snapshots = encoder_snapshots(folder, store, table, stats_of, days, where, yesterday)
            made += [{"kind": folder.name, **one} for one in snapshots]
        except (HomefeedError, OSError) as error:
            if encoder_hash == champions:
                raise
            why = f"{folder.name} {encoder_hash}: {error}"
            print(f"= keeps its snapshots: {why}")
    if not made:
        raise PipelineError(f"no live encoder has a snapshot of the day ({why}); run it again")
    return made


def _champions_encoder(config: Config) -> str | None:
    registry = ReleaseRegistry(config.workspace, tracking_uri=config.tracking_uri)
    champion = registry.champion()
    return None if champion is None else registry.ledger.manifest(champion).user_encoder.hash


def embed_day_step(appended: Path, config: str, out: Path, piece: Path) -> None:
    """Snapshots of the day for every live encoder; only users who were active are embedded."""
    where, described = read_config(config), read_json(appended / "day.json")
    ends_s, log = described["ends_s"], described["base"]["log"]
    store, dataset = SequenceStore.open(appended / "store"), Dataset.open(appended / "checked")
    table = load_items(dataset, store.items)
    stats = build_item_stats(dataset, store, table.created_s)
    with TemporaryDirectory(dir=out.parent) as daily_stats:
        stats_of = write_stats(stats, [ends_s], Path(daily_stats))
        encoders = of_this_vocabulary(live_encoders(where, log), store)
        base_s = described["base"]["as_of_s"]  # its own snapshot is yesterday's
        made = _day_of_encoders(encoders, where, base_s, store, table, stats_of)
    watermark = described["base"]["watermark"]
    with writing(out) as beside:
        beside.mkdir()
        write_sequences(beside / SEQUENCES, store, dataset, ends_s)
        listed = {"snapshots": made, "as_of_s": ends_s, "watermark": watermark}
        write_json(beside / "snapshots.json", listed)
        data = {"checked": appended / "checked", "store": appended / "store"}
        put_day(beside, log=log, as_of_s=ends_s, watermark=watermark, **data)
    columns = ("encoder_hash", "users", "embedded", "items_without_vector")
    rows = [{column: one[column] for column in columns} for one in made]
    text = f"{made[0]['embedded']:,} of {made[0]['users']:,} users embedded"
    Piece(
        title=f"Embeddings of {name_of(ends_s)}",
        figures=[Figure(name="active users", value=text)],
        tables=[Table(title="Live encoders", rows=rows)],
    ).save(piece)
    print(f"= {text}, for {len(made)} live encoders")
    for one in made:
        if items := one["items_without_vector"]:
            which = f"{one['kind']} {one['encoder_hash'][:8]}"
            print(f"= not retrieved: {items:,} items have no vector of {which} until the next fit")


def freshness_step(snapshots: Path, config: str, out: Path) -> None:
    """Report how old everything is that serving reads, now that the day is published."""
    where = read_config(config)
    day = day_in(snapshots)
    # The world lives in a year of its own: there, now is when the day ended.
    is_world = Dataset.open(Path(day.checked)).spec.live
    now_s = day.as_of_s if is_world else max(WallClock().now_s(), day.as_of_s)
    rows, champions = [], _champions_encoder(where)
    for encoder_hash in live_encoders(where, day.log):
        try:
            newest = Snapshot.open(newest_snapshot(where.workspace, encoder_hash)).meta
        except HomefeedError as error:  # left behind when the day was embedded
            if encoder_hash == champions:
                raise
            print(f"= serves nobody: encoder {encoder_hash[:8]}: {error}")
            continue
        hours = (now_s - newest.as_of_s) / 3600
        rows.append({"encoder": encoder_hash, "as of": moment_of(newest.as_of_s), "hours": hours})
    write_json(out, rows)
    for row in rows:
        print(f"= encoder {row['encoder'][:8]}: as of {row['as of']}, {row['hours']:.1f} h old")
