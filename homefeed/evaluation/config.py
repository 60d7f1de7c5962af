"""How a user encoder is evaluated."""

from dataclasses import dataclass

from homefeed.evaluation.refresh import MODES
from homefeed.plain_values import above, between, one_of, require_count, seed_number


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How to evaluate; the defaults are the paper's."""

    horizon_days: float = 14
    modes: tuple[str, ...] = ("once",)
    refresh_users: int | None = None  # so many users, drawn, for the modes that embed again; all
    depths: tuple[int, ...] = (10, 50)
    coverage_depth: int = 10
    entropy_depth: int = 50
    index_size: int = 1_000_000  # items sampled as the index; all where there are fewer
    bootstrap_samples: int = 1000
    seed: int = 0
    memory_mb: int = 256  # bounds the score matrix of a model's chunk and its copies
    chunk_queries: int = 512  # at most so many histories are embedded at once

    def __post_init__(self) -> None:
        require_count("evaluation.refresh_users", self.refresh_users)
        above("horizon_days", self.horizon_days, 0)
        for mode in self.modes:
            one_of("modes", mode, MODES)
        for depth in self.depths:
            between("depths", depth, 1)
        for name in ("coverage_depth", "entropy_depth", "index_size", "bootstrap_samples"):
            between(name, getattr(self, name), 1)
        for name in ("memory_mb", "chunk_queries"):
            between(name, getattr(self, name), 1)
        seed_number("seed", self.seed)
