"""How much there is to win in the world: the oracle, simple rules, and the worth of an intent.

    python bench/world_scores.py --preset small

Recall@10: users of a fixed random share, their distinct positive items of the next 14 days,
ranked among all items, those created later included; one value per user, then the mean. Feed:
expected labels per impression, by the truth, of the 20 shown out of 100 candidates.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset
from homefeed.data.world.config import world_config
from homefeed.data.world.hashing import uniform
from homefeed.data.world.log import Simulation
from homefeed.data.world.observed import FIRST_USER, PREFIX
from homefeed.data.world.session import before_page
from homefeed.data.world.truth import LONG_S, Visits, World
from homefeed.data.world.write import write_world

HORIZON_DAYS = 14
SHOWN, CANDIDATES = 20, 100
COLUMNS = ("save", "click", "closeup", "hide", "positive")


def positives(dataset: Dataset) -> pl.DataFrame:
    """User and item indices and times (s) of the positive actions."""
    long_enough = (pl.col("action_type") != "closeup") | (pl.col("duration_s") >= LONG_S)
    return (
        dataset.scan("actions")
        .filter(long_enough & pl.col("action_type").is_in(list(dataset.spec.positive)))
        .select(
            user=pl.col("user_id") - FIRST_USER,
            item=pl.col("item_id").str.strip_prefix(PREFIX).cast(pl.Int64),
            time_s=pl.col("timestamp") // 1000,
        )
        .collect()
    )


def simulated_until(world: World, day: int) -> Simulation:
    """The state of people and policy at the start of ``day``."""
    simulation = Simulation(world)
    simulation.run(-world.config.warmup_days, day)
    simulation.policy.start_day(world.config.start_s + day * DAY_S)
    return simulation


def oracle(world: World, simulation: Simulation, users: np.ndarray, cut_s: int) -> np.ndarray:
    """float64[U, I]: expected positives ahead, by true interests, tastes and exposure.

    Knows what the users like and what they will be shown on the feed and by searches, not the
    sessions to come.
    """
    laws, items = world.config.laws, np.arange(world.config.all_items)
    found = [world.organic_weight(topic, cut_s // DAY_S) for topic in range(laws.topics)]
    out = np.zeros((len(users), len(items)))
    for chunk in np.array_split(np.arange(len(users)), max(1, len(users) // 25)):
        user, time_s = users[chunk], np.full(len(chunk), cut_s)
        grid = np.broadcast_to(items, (len(user), len(items)))
        # Per session: 2.7 pages of 17.5 items of which 60 % are examined; searches for 8.
        feed = simulation.policy.probability(user, grid) * 2.7 * 17.5 * 0.6
        shares = world.intent_shares(user, time_s)
        for topic in np.flatnonzero(shares.max(axis=0) > 0.005):
            intent = np.full(len(user), topic)
            chance = world.expected(
                user, grid, np.ones_like(grid), time_s, intent, simulation.memory
            )
            shown = feed + laws.search_share * 8 * 0.75 * found[topic]
            out[chunk] += shares[:, [topic]] * chance["positive"] * shown
    return out


def rules(log: pl.DataFrame, simulation: Simulation, world: World, cut_s: int) -> dict:
    """Scores float64[U, I] of simple rules that know only the log before the cutoff."""
    users, items = world.config.users, world.config.all_items
    before = log.filter(pl.col("time_s") < cut_s)
    count = np.zeros((users, items), np.float32)
    np.add.at(count, (before["user"].to_numpy(), before["item"].to_numpy()), 1)
    recent = before.filter(pl.col("time_s") >= cut_s - 28 * DAY_S)["item"].to_numpy()
    popular = np.bincount(recent, minlength=items).astype(float)
    category = simulation.policy.category
    in_category = np.bincount(category, popular)
    own = np.zeros((users, len(in_category)))
    np.add.at(own.T, category, count.T)
    everyone = np.arange(users)
    grid = np.broadcast_to(np.arange(items), (users, items))
    policy = simulation.policy.probability(everyone, grid)
    return {
        "random": uniform(1, "random", everyone[:, None], np.arange(items)),
        "popular in the last 28 days": np.broadcast_to(popular, (users, items)),
        "own most frequent items": count + 1e-6 * popular,
        "popular in own categories": (own / np.maximum(in_category, 1))[:, category] * popular
        + 1e-6 * popular,
        "logging policy, unseen items": policy * (count == 0),
    }


def recall_table(world: World, dataset: Dataset, share: float) -> dict:
    """Recall@10 of the oracle and of the rules, also by positives before the cutoff."""
    config = world.config
    cut_s = config.end_s - HORIZON_DAYS * DAY_S
    simulation = simulated_until(world, config.days - HORIZON_DAYS)
    log = positives(dataset)
    ahead = log.filter(pl.col("time_s") >= cut_s).unique(["user", "item"])
    targets = ahead.group_by("user").agg("item").sort("user")
    targets = targets.filter(uniform(1, "held-out", targets["user"].to_numpy()) < share)
    held, wanted = targets["user"].to_numpy(), [np.array(w) for w in targets["item"].to_list()]
    known = np.bincount(
        log.filter(pl.col("time_s") < cut_s)["user"].to_numpy(), minlength=config.users
    )[held]
    groups = {"all": known >= 0, "<10": known < 10, ">=30": known >= 30}
    groups["10-29"] = ~groups["<10"] & ~groups[">=30"]
    scores = {name: score[held] for name, score in rules(log, simulation, world, cut_s).items()}
    scores["oracle"] = oracle(world, simulation, held, cut_s)
    out = {"users": {name: int(group.sum()) for name, group in groups.items()}}
    for name, score in scores.items():
        best = np.argpartition(-score, 10, axis=1)[:, :10]
        value = np.array([np.isin(w, b).mean() for w, b in zip(wanted, best, strict=True)])
        out[name] = {k: round(float(value[group].mean()), 4) for k, group in groups.items()}
        out[name]["se"] = round(float(value.std() / len(value) ** 0.5), 4)
    return out


def topic_chances(world: World, visits: Visits, items: np.ndarray, memory, label: str):
    """float64[K, V, n]: probability of ``label`` at the first position under each intent."""
    first = np.ones(items.shape, np.int64)
    return np.stack(
        [
            world.expected(
                visits.user, items, first, visits.time_s, np.full(len(visits), k), memory
            )[label]
            for k in range(world.config.laws.topics)
        ]
    )


def feed_table(world: World, days: int) -> dict:
    """Expected labels per impression by the order in which candidates are shown."""
    simulation = simulated_until(world, world.config.days)
    sums: dict[str, list] = {}
    belief = np.zeros((world.config.users, world.config.laws.topics))
    for day in range(world.config.days, world.config.days + days):
        simulation.policy.start_day(world.config.start_s + day * DAY_S)
        table = world.visits(day)
        for number in range(table.order.max() + 1):
            visits = table.take(table.order == number)
            _start_sessions(world, simulation, visits, belief)
            _feed_step(world, simulation, visits, belief, sums)
    return {
        name: {
            label: round(float(np.concatenate([one[label].ravel() for one in many]).mean()), 4)
            for label in COLUMNS
        }
        for name, many in sums.items()
    }


def _start_sessions(world: World, simulation, visits: Visits, belief: np.ndarray) -> None:
    """A session starts with what is known of the user, and with a search if there was one."""
    begun = visits.take(visits.page == 0)
    belief[begun.user] = world.intent_shares(begun.user, begun.time_s)
    for surface, found, user in before_page(world, visits.take(visits.searches), simulation.memory):
        if surface == "search":
            # How likely the item was to be found under each intent: organic_items draws by this.
            np.multiply.at(belief, user, world.items.mixture[found.item] ** 2 + 0.02)
    belief /= np.maximum(belief.sum(axis=1, keepdims=True), 1e-300)


def _feed_step(world, simulation, visits: Visits, belief: np.ndarray, sums: dict) -> None:
    """Score every order on one page each; then learn of the intent from the page that was seen."""
    memory, user = simulation.memory, visits.user
    items, _ = simulation.policy.show(user, visits.time_s, np.full(len(visits), CANDIDATES))
    items = np.where(items >= 0, items, items[:, :1])
    chance = topic_chances(world, visits, items, memory, "positive")
    prior = world.intent_shares(user, visits.time_s)
    truth = np.take_along_axis(chance, visits.intent[None, :, None], axis=0)[0]
    orders = {
        "random": uniform(1, "order", user[:, None], visits.time_s[:, None], items),
        "popular": simulation.policy.popular[items],
        "oracle of interests": np.einsum("kvn,vk->vn", chance, prior),
        "oracle that learns in the session": np.einsum("kvn,vk->vn", chance, belief[user]),
        "oracle that knows the intent": truth,
    }
    place = np.broadcast_to(np.arange(1, SHOWN + 1), (len(visits), SHOWN))
    key = (place, visits.time_s, visits.intent)
    for name, score in orders.items():
        top = np.take_along_axis(items, np.argsort(-score, axis=1)[:, :SHOWN], axis=1)
        sums.setdefault(name, []).append(world.expected(user, top, *key, memory))
    # The page that was seen: 20 of the policy's own, in the policy's order.
    seen = items[:, :SHOWN]
    opened = np.zeros(seen.shape, bool)
    found = world.respond(user, seen, place, visits.time_s, visits.intent, visits.dwell_s, memory)
    opened[found.row[found.action == 0], found.position[found.action == 0] - 1] = True
    examined = 1 / (1 + world.config.laws.examination * (place - 1))
    likely = topic_chances(world, visits, seen, memory, "closeup") * examined
    belief[user] *= np.exp(np.log(np.where(opened, likely, 1 - likely)).sum(axis=2)).T
    belief[user] /= belief[user].sum(axis=1, keepdims=True)
    memory.see(user, seen, visits.time_s)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="small")
    parser.add_argument("--share", type=float, default=0.3, help="of the users, for Recall@10")
    parser.add_argument("--days", type=int, default=2, help="live days of the feed's table")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    chosen = parser.parse_args()
    world = World(world_config(chosen.preset))
    with tempfile.TemporaryDirectory() as folder:
        recall = recall_table(
            world, write_world(Path(folder) / "world", world.config), chosen.share
        )
    feed = feed_table(world, chosen.days)
    print(f"Recall@10, {HORIZON_DAYS} days ahead, by positive actions before the cutoff")
    print(f"  {'':34}" + "".join(f"{k:>9}" for k in recall["oracle"]))
    for name, row in recall.items():
        print(f"  {name:34}" + "".join(f"{v:>9}" for v in row.values()))
    print(f"Feed, expected per impression, {SHOWN} of {CANDIDATES}\n  {'':34}", end="")
    print("".join(f"{label:>9}" for label in COLUMNS))
    for name, row in feed.items():
        print(f"  {name:34}" + "".join(f"{v:>9}" for v in row.values()))
    if chosen.json:
        chosen.json.write_text(json.dumps({"recall": recall, "feed": feed}, indent=2) + "\n")


if __name__ == "__main__":
    main()
