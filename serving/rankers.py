"""The scoring side: one Scorer per release that is served, loaded as the catalog asks.

Shapes: N candidates, H heads, I items.
"""

from collections.abc import Mapping

import numpy as np

from homefeed.errors import ReleaseError
from homefeed.models.scorer import Scorer, UserFeatures
from serving.catalog import Catalog
from serving.scoring import ScoreRequest


class Rankers:
    """Scores with the releases that a catalog holds."""

    def __init__(self, catalog: Catalog[Scorer]) -> None:
        self._catalog = catalog

    def score(self, request: ScoreRequest) -> np.ndarray:
        """Probabilities float32 [N, H]; ReleaseError for a release that cannot be loaded.

        Another worker may have seen a new release first: then this one looks at once instead of
        at its next turn. Or it serves the old release yet, while it loads the new one.
        """
        scorer = self._catalog.find(request.release)
        if scorer is None:
            self._catalog.refresh()
            scorer = self._catalog.find(request.release)
        if scorer is None:
            raise ReleaseError(f"release version {request.release} is not loaded by the scorer")
        user = UserFeatures(
            request_time_s=request.request_time_s,
            items=request.items,
            actions=request.actions,
            surface=request.surface,
            vector=request.vector,
            vector_age_s=request.vector_age_s,
        )
        return scorer.score(user, request.candidates, request.familiarity)

    def loaded(self) -> Mapping[int, str]:
        """Release version → the key of what can be scored now."""
        return self._catalog.current.keys
