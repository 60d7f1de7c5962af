"""What a run's A/B test looks like."""

from dataclasses import dataclass

from homefeed.plain_values import between, require_count, share


@dataclass(frozen=True, kw_only=True)
class AbTestRecipe:
    """Length, size and rule of the A/B test that ends a run."""

    days: int = 2  # simulated days (`world`); a re-ranking takes the evaluation days as they are
    visitors: int | None = None  # so many of the world's users, drawn, may come; None: all
    min_effect: float = 0.0  # relative lift that is worth shipping
    confidence: float = 0.95
    bootstrap_rounds: int = 1_000  # of a paired re-ranking
    salt: str = "lifecycle"

    def __post_init__(self) -> None:
        require_count("abtest.visitors", self.visitors)
        between("days", self.days, 1)
        between("bootstrap_rounds", self.bootstrap_rounds, 100)  # its ends decide a test
        between("min_effect", self.min_effect, 0)
        share("confidence", self.confidence, 0.95)
