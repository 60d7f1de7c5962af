"""Recipes: full run configurations, named by one word. What is computed, never where.

A recipe has one section a step; a pipeline passes each step its own section as JSON, so that a
change to the ranker does not train the encoders again. ``--set user_encoder.steps=500`` changes
one value.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from homefeed.abtest.recipe import AbTestRecipe
from homefeed.config import LOCAL, PROFILES, Config, load_config
from homefeed.data.world.config import WorldConfig, world_config
from homefeed.errors import ConfigError
from homefeed.evaluation.config import EvaluationConfig
from homefeed.evaluation.refresh import MODES, ONCE
from homefeed.models.config import PinnerFormerConfig
from homefeed.models.item_encoders import KINDS
from homefeed.plain_values import (
    above,
    between,
    build,
    flatten,
    nested,
    one_of,
    parse_assignment,
    seed_number,
    share,
    suggestion,
)
from homefeed.training.ranker_recipe import RankerRecipe
from homefeed.training.user_encoder_config import UserEncoderConfig

HEADLINE_DEPTH = 10  # the report's figures are recall@10


@dataclass(frozen=True, kw_only=True)
class SequencesRecipe:
    """How the sequence store is built, and how its span is cut into fits."""

    memory_mb: int = 512
    evaluation_days: float | None = None  # None: by the length of the log
    ranker_days: float | None = None
    # Of users: no encoder is fitted on them. A hash of the id decides, so that a user is on the
    # same side in every log; of few users it may hold out a little less than the share, and at
    # least 30 % are to be held out.
    held_out_share: float = 0.32

    def __post_init__(self) -> None:
        between("memory_mb", self.memory_mb, 1)
        for name in ("evaluation_days", "ranker_days"):
            if (days := getattr(self, name)) is not None:
                above(name, days, 0)
        share("held_out_share", self.held_out_share, 0.32)


@dataclass(frozen=True, kw_only=True)
class ItemEncoderRecipe:
    """The item encoder: svd, content or svd+content; what gives no vectors is refused."""

    kind: str = "svd+content"
    dim: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("kind", self.kind, tuple(kind for kind in KINDS if kind != "none"))
        between("dim", self.dim, 1)
        seed_number("seed", self.seed)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a run computes."""

    name: str
    world: WorldConfig = field(default_factory=WorldConfig)
    sequences: SequencesRecipe = field(default_factory=SequencesRecipe)
    item_encoder: ItemEncoderRecipe = field(default_factory=ItemEncoderRecipe)
    user_encoder: UserEncoderConfig = field(default_factory=UserEncoderConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    ranker: RankerRecipe = field(default_factory=RankerRecipe)
    abtest: AbTestRecipe = field(default_factory=AbTestRecipe)

    def __post_init__(self) -> None:
        for name, needed in (("modes", ONCE), ("depths", HEADLINE_DEPTH)):
            given = getattr(self.evaluation, name)
            if needed not in given:
                raise ConfigError(
                    f"evaluation.{name} is {list(given)}; the run's report needs {needed}: "
                    f"give {[needed, *given]}"
                )


def tiny() -> Recipe:
    """Seconds: for tests and a first look."""
    return Recipe(
        name="tiny",
        world=world_config("tiny"),
        item_encoder=ItemEncoderRecipe(dim=16),
        user_encoder=UserEncoderConfig(
            network=PinnerFormerConfig(
                **{"dim": 32, "width": 32, "layers": 1, "heads": 2, "history_length": 32},
                **{"id_embedding_dim": 16, "item_hidden": 64},
            ),
            **{"steps": 60, "batch_users": 32, "positions_per_user": 8, "num_negatives": 512},
            **{"learning_rate": 3e-3, "warmup_steps": 10, "report_every": 20},
            checkpoint_every=20,
        ),
        evaluation=EvaluationConfig(bootstrap_samples=200),
        ranker=RankerRecipe.tiny(),
        abtest=AbTestRecipe(days=1),
    )


def small() -> Recipe:
    """Minutes on two cores: the default."""
    return Recipe(
        name="small",
        world=world_config("small"),
        item_encoder=ItemEncoderRecipe(dim=64),
        user_encoder=UserEncoderConfig(
            network=PinnerFormerConfig(
                **{"dim": 64, "width": 64, "layers": 2, "heads": 2, "history_length": 64},
                **{"id_embedding_dim": 32, "item_hidden": 128, "history_mean": True},
            ),
            **{"steps": 400, "max_epochs": 10.0, "batch_users": 128, "positions_per_user": 8},
            **{"num_negatives": 2048, "learning_rate": 3e-3},
        ),
        evaluation=EvaluationConfig(modes=MODES, refresh_users=500),
        ranker=RankerRecipe.small(),
        abtest=AbTestRecipe(visitors=2_500),
    )


def base() -> Recipe:
    """The published configurations, for GPUs: PinnerFormer 6 x 768, M = 256, D = 256."""
    return Recipe(
        name="base",
        world=world_config("base"),
        item_encoder=ItemEncoderRecipe(dim=256),
        user_encoder=UserEncoderConfig(
            network=PinnerFormerConfig(width=768, layers=6, heads=8, id_embedding_dim=0),
            **{"steps": 100_000, "batch_users": 1024, "positions_per_user": 32},
            **{"warmup_steps": 2_000, "learning_rate": 3e-4, "checkpoint_every": 500},
        ),
        evaluation=EvaluationConfig(modes=MODES),
        ranker=RankerRecipe.base(),
        abtest=AbTestRecipe(days=14),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"tiny": tiny, "small": small, "base": base}
SECTIONS = tuple(f.name for f in dataclasses.fields(Recipe) if f.name != "name")


def recipe(name: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """The named recipe with ``key=value`` overrides. ConfigError for unknown names or keys."""
    if name not in RECIPES:
        raise ConfigError(f"unknown recipe {name!r}{suggestion(name, RECIPES)}")
    made = RECIPES[name]()
    known = flatten(_plain(made))
    changes: dict[str, Any] = {}
    for text in overrides:
        for key, value in parse_assignment(text).items():
            if key not in known:
                raise ConfigError(f"unknown key {key!r}{suggestion(key, known)}")
            changes[key] = value
    for section, values in nested(changes).items():
        made = replace(made, **{section: _changed(getattr(made, section), values, section)})
    return made


def _changed(section: Any, values: dict[str, Any], name: str) -> Any:
    merged = nested({**flatten(_plain(section)), **flatten(values)})
    return build(type(section), merged, f"{name}.")


def _plain(section: Any) -> dict[str, Any]:
    return dataclasses.asdict(section)


def is_recipe_key(assignment: str) -> bool:
    """Whether ``key=value`` speaks of a recipe (and not of where things run)."""
    return assignment.split(".", 1)[0] in SECTIONS


def section_json(made: Recipe, section: str) -> str:
    """One section as the JSON that a pipeline passes to its step."""
    return json.dumps(_plain(getattr(made, section)), sort_keys=True)


def read_section(section: str, text: str) -> Any:
    """Read what ``section_json`` wrote; a recipe's bare name means its section."""
    if section not in SECTIONS:
        raise ConfigError(f"unknown section {section!r}{suggestion(section, SECTIONS)}")
    if text in RECIPES:
        return getattr(RECIPES[text](), section)
    try:
        values = json.loads(text)
    except json.JSONDecodeError:
        raise ConfigError(
            f"{section} must be a recipe's name ({', '.join(RECIPES)}) or JSON, found {text[:40]!r}"
        ) from None
    kind = type(getattr(RECIPES["small"](), section))
    return build(kind, values, f"{section}.")


def config_json(config: Config) -> str:
    """The configuration as the JSON that a pipeline passes to its steps."""
    return json.dumps(dataclasses.asdict(config), sort_keys=True)


def read_config(text: str) -> Config:
    """Read what ``config_json`` wrote; an empty text or a profile's name means that profile."""
    if text in ("", *PROFILES):
        return load_config(profile=text or LOCAL).config
    return build(Config, json.loads(text))
