"""Items: topic mixtures, quality, age. Every property hangs on the item's index alone."""

from dataclasses import dataclass

import numpy as np

from homefeed.clock import DAY_S
from homefeed.data.world.config import WorldConfig
from homefeed.data.world.hashing import choice, normal, uniform

STYLES = 4  # taste beyond topics: a small latent vector of items and of users


@dataclass(frozen=True, kw_only=True)
class Items:
    """What the items are. I items, K topics, G groups."""

    topic: np.ndarray  # int64[I], the main topic
    mixture: np.ndarray  # float64[I, K], rows sum to 1
    related: np.ndarray  # float64[I, K], mixture with neighbouring topics counted in part
    quality: np.ndarray  # float64[I]
    style: np.ndarray  # float64[I, STYLES], rows of length about 1
    created_s: np.ndarray  # int64[I], ascending
    prevalence: np.ndarray  # float64[K], how common each topic is


def make_items(config: WorldConfig) -> Items:
    """The catalogue, live days included."""
    laws, seed = config.laws, config.seed
    item = np.arange(config.all_items)
    prevalence = topic_prevalence(config)
    cumulative = np.cumsum(prevalence)
    topic = choice(cumulative, uniform(seed, "item-topic", item))

    per_group = laws.topics // laws.groups
    near = topic // per_group * per_group + (uniform(seed, "item-near", item) * per_group).astype(
        int
    )
    far = choice(cumulative, uniform(seed, "item-far", item))
    second = np.where(uniform(seed, "item-which", item) < 0.7, near, far)
    share = 0.6 + 0.4 * uniform(seed, "item-share", item)
    mixture = np.zeros((len(item), laws.topics))
    np.add.at(mixture, (item, topic), share)
    np.add.at(mixture, (item, second), 1 - share)

    step_s = (laws.catalogue_age_days + config.days) * DAY_S / config.items
    jitter = uniform(seed, "item-created", item)
    created_s = config.start_s - laws.catalogue_age_days * DAY_S + (item + jitter) * step_s
    style = normal(seed, "item-style", item[:, None], np.arange(STYLES)) / np.sqrt(STYLES)
    return Items(
        topic=topic,
        mixture=mixture,
        related=mixture @ neighbourhood(config),
        quality=laws.quality_scale * normal(seed, "item-quality", item),
        style=style,
        created_s=created_s.astype(np.int64),
        prevalence=prevalence,
    )


def topic_prevalence(config: WorldConfig) -> np.ndarray:
    """float64[K]: a few topics are common, most are not; sums to 1."""
    topics = np.arange(config.laws.topics)
    weight = np.exp(0.7 * normal(config.seed, "topic-prevalence", topics))
    return weight / weight.sum()


def neighbourhood(config: WorldConfig) -> np.ndarray:
    """float64[K, K]: 1 on the diagonal, ``group_affinity`` inside a group, 0 elsewhere."""
    laws = config.laws
    group = np.arange(laws.topics) // (laws.topics // laws.groups)
    same = (group[:, None] == group).astype(float) * laws.group_affinity
    np.fill_diagonal(same, 1.0)
    return same
