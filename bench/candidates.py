"""What is a user vector worth live? The world's truth about the items that it finds.

    python bench/candidates.py --workspace .homefeed --visits 1200

Takes a workspace that `homefeed run` on `world` finished, and the first visits of the day after
the log. Each user vector, made of what was known a day before, takes its 100 nearest items that
the user has not acted on. Printed are the expected saves and clicks of the page in three orders:
the vector's own (± standard error), random, and best. No ranker takes part: what is missing here
no ranker can find, and the vector's own order is what a ranker has to beat.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import polars as pl
from loop.workspace import Finished, finished

from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset
from homefeed.data.sequences import SequenceStore
from homefeed.data.world.live import SimulatedUsers, Visit
from homefeed.models.history import read_histories
from homefeed.models.item_encoders import ItemEncoder
from homefeed.models.user_encoders import load_user_encoder
from homefeed.release.ledger import Ledger
from homefeed.schema import LEDGER_FILE

NEAREST = 100  # candidates of a page
KNOWN = 100  # newest actions of a user that are read


@dataclass(frozen=True, kw_only=True)
class Space:
    """User vectors [U, D], and item vectors [I+1, D] to multiply them with."""

    name: str
    users: np.ndarray
    items: np.ndarray


@dataclass(frozen=True, kw_only=True)
class FirstVisits:
    """Visits of users whom the log knows, and what these had done a day before it ended."""

    store: SequenceStore
    visits: list[Visit]
    user: np.ndarray  # int64 (U,) index in the store
    known: np.ndarray  # int64 (U, KNOWN) store positions, newest first, -1 padding


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", type=Path, default=Path(".homefeed"))
    parser.add_argument("--visits", type=int, default=1200, help="how many first visits")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    source = finished(options.workspace)
    people = SimulatedUsers.of(source.world, Dataset.open(Path(source.day.checked)))
    first = first_visits(source, people, options.visits)
    print(f"{len(first.visits):,} first visits; expected saves and clicks of a page")
    print(f"{'user vector':<42}{'own order':>15}{'random':>9}{'best':>9}")
    rows = []
    for space in spaces(source, first):
        rows.append(row := worth(people, first, space))
        told = f"{row['own_order']:.3f} ± {row['error']:.3f}"
        print(f"{space.name:<42}{told:>15}{row['random']:>9.3f}{row['best']:>9.3f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def first_visits(source: Finished, people: SimulatedUsers, count: int) -> FirstVisits:
    """At most ``count`` of the first day's first visits; users without a known action are left."""
    store = SequenceStore.open(Path(source.day.store))
    visits = next(people.rounds(source.world.days))
    user = store.users.indices(pl.Series([v.user_id for v in visits])).astype(np.int64)
    in_log = np.flatnonzero(user > 0)
    before_s = np.full(len(in_log), source.world.end_s - DAY_S)
    known = store.last_available(user[in_log], before_s, KNOWN)
    kept = np.flatnonzero(known[:, 0] >= 0)[:count]
    return FirstVisits(
        store=store,
        visits=[visits[i] for i in in_log[kept]],
        user=user[in_log[kept]],
        known=known[kept],
    )


def spaces(source: Finished, first: FirstVisits) -> Iterator[Space]:
    """The vectors of both encoders, and means of the known actions in three item spaces."""
    ledger = Ledger(source.root / LEDGER_FILE)
    histories = read_histories(first.store, first.known)
    for arm in ("control", "pinnerformer"):
        manifest = ledger.manifest(source.releases[arm])
        encoder = load_user_encoder(manifest.user_encoder.path(source.root))
        items = encoder.item_vectors()
        yield Space(name=encoder.kind, users=encoder.embed(histories).numpy(), items=items)
    yield mean_of_known("mean of 100, PinnerFormer's item tower", first, items)
    vectors = ItemEncoder.open(manifest.item_encoder.path(source.root)).vectors
    yield mean_of_known("mean of 100, item encoder", first, vectors)


def mean_of_known(name: str, first: FirstVisits, items: np.ndarray) -> Space:
    """Means of the known actions' item vectors, less the mean item, which says nothing."""
    apart = items - items[1:].mean(axis=0)
    apart[0] = 0
    taken = np.asarray(first.store.item)[np.maximum(first.known, 0)] * (first.known >= 0)
    sums = np.stack([apart[row].sum(axis=0) for row in taken])
    return Space(name=name, users=sums / (taken > 0).sum(axis=1)[:, None], items=apart)


def worth(people: SimulatedUsers, first: FirstVisits, space: Space) -> dict[str, float | str]:
    """Mean worth of the pages in each order. The users' memory is that of the log throughout."""
    examination = people.world.config.laws.examination
    pages = np.empty((len(first.visits), 3))
    for row, visit in enumerate(first.visits):
        score = space.items @ space.users[row]
        score[np.asarray(first.store.item[first.store.rows(int(first.user[row]))])] = -np.inf
        score[0] = -np.inf
        nearest = np.argsort(-score, kind="stable")[:NEAREST]
        expected = people.expected(visit, first.store.items.ids(nearest))
        examined = 1 / (1 + examination * np.arange(NEAREST))
        alone = (expected["save"] + expected["click"]) / examined  # (N,) as if each stood first
        shown = examined[: visit.length]
        pages[row, 0] = (alone[: visit.length] * shown).sum()
        pages[row, 1] = alone.mean() * shown.sum()
        pages[row, 2] = (np.sort(alone)[::-1][: visit.length] * shown).sum()
    own, random, best = pages.mean(axis=0).tolist()
    error = float(pages[:, 0].std() / len(pages) ** 0.5)
    return {
        "vector": space.name, "own_order": own, "error": error, "random": random, "best": best,
    }  # fmt: skip


if __name__ == "__main__":
    main()
