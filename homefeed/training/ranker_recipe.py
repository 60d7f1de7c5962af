"""Everything about the rankers of a run: their training set, their variants, their fit."""

from dataclasses import dataclass, field, replace

from homefeed.data.build_training_set import TrainingSetConfig
from homefeed.models.config import RankerConfig, variant
from homefeed.training.ranker_config import RankerFitConfig

CONTROL, PINNERFORMER, REALTIME = "control", "pinnerformer", "full"
VARIANTS = (CONTROL, PINNERFORMER, REALTIME)  # one per arm of the A/B test


def _variants(**changes: object) -> tuple[RankerConfig, ...]:
    return tuple(variant(name, **changes) for name in VARIANTS)


def _fit(**changes: object) -> RankerFitConfig:
    return RankerFitConfig(rankers=_variants(), **changes)  # type: ignore[arg-type]


# Some 50,000 to 100,000 rows: learned ids add nothing that can be measured, and many small steps
# fit better than few large ones (docs/lab_log.md, "Rankers").
_FEW_ROWS = {"item_ids": False, "dropout": 0.2}


@dataclass(frozen=True, kw_only=True)
class RankerRecipe:
    """Training set, and the fit of one ranker per arm: control, pinnerformer, full (real time)."""

    training_set: TrainingSetConfig = field(default_factory=TrainingSetConfig)
    fit: RankerFitConfig = field(default_factory=_fit)

    @classmethod
    def tiny(cls) -> "RankerRecipe":
        """Seconds."""
        return cls(fit=_fit(epochs=0.5, checkpoint_every=10))

    @classmethod
    def small(cls) -> "RankerRecipe":
        """A few minutes on two cores."""
        # Four shards a step, so that two workers get long and short histories alike.
        size = {"batch_rows": 256, "shard_rows": 64}
        return cls(
            training_set=TrainingSetConfig(max_training_rows=50_000, max_evaluation_rows=60_000),
            fit=RankerFitConfig(rankers=_variants(**_FEW_ROWS), epochs=1.0, **size),
        )

    @classmethod
    def base(cls) -> "RankerRecipe":
        """For GPUs: larger batches, more passes."""
        fit = _fit(epochs=2.0, batch_rows=12_000, shard_rows=3_000, learning_rate=4.8e-3)
        return cls(fit=replace(fit, checkpoint_every=2_000))
