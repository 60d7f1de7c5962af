"""What /metrics tells beside BentoML's own figures: stages, statuses, degraded answers."""

import bentoml

from serving.http import Stages

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.12, 0.25, 0.5, 1.0, 2.5)


class Observer:
    """Records one answered request."""

    def __init__(self) -> None:
        self._stages = bentoml.metrics.Histogram(
            name="homefeed_stage_seconds",
            documentation="Time of one stage of a request",
            labelnames=["endpoint", "stage"],
            buckets=_BUCKETS_S,
        )
        self._answers = bentoml.metrics.Counter(
            name="homefeed_answers_total",
            documentation="Answers by endpoint and status",
            labelnames=["endpoint", "status"],
        )
        self._degraded = bentoml.metrics.Counter(
            name="homefeed_degraded_total",
            documentation="Answers that fell short, by step",
            labelnames=["endpoint", "step"],
        )

    def __call__(self, endpoint: str, status: int, stages: Stages, degraded: str | None) -> None:
        """Count one answer; ``stages`` in milliseconds."""
        self._answers.labels(endpoint=endpoint, status=str(status)).inc()
        for stage, spent_ms in stages.items():
            self._stages.labels(endpoint=endpoint, stage=stage).observe(spent_ms / 1000)
        if degraded is not None:
            self._degraded.labels(endpoint=endpoint, step=degraded).inc()
