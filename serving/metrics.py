"""What /metrics tells: stages, statuses, degraded answers, of all workers together.

BentoML's figures of the CPU service are switched off (``serving.service``): they carry the path as
it was asked, so each explained request and each probed path would be series of their own, for
ever, and a path that is no UTF-8 would make Prometheus refuse all of them.
prometheus_client is imported late: a worker's environment tells it where figures are kept.
"""

from collections.abc import Mapping

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.12, 0.25, 0.5, 1.0, 2.5)


class Observer:
    """Records one answered request."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Histogram

        self._stages = Histogram(
            name="homefeed_stage_seconds",
            documentation="Time of one stage of a request",
            labelnames=["endpoint", "stage"],
            buckets=_BUCKETS_S,
        )
        self._answers = Counter(
            name="homefeed_answers_total",
            documentation="Answers by endpoint and status",
            labelnames=["endpoint", "status"],
        )
        self._degraded = Counter(
            name="homefeed_degraded_total",
            documentation="Answers that fell short, by step",
            labelnames=["endpoint", "step"],
        )

    def __call__(
        self, endpoint: str, status: int, stages: Mapping[str, float], degraded: str | None
    ) -> None:
        """Count one answer; ``stages`` in milliseconds."""
        self._answers.labels(endpoint=endpoint, status=str(status)).inc()
        for stage, spent_ms in stages.items():
            self._stages.labels(endpoint=endpoint, stage=stage).observe(spent_ms / 1000)
        if degraded is not None:
            self._degraded.labels(endpoint=endpoint, step=degraded).inc()


def exposition() -> tuple[bytes, str]:
    """The figures of all processes of this server as Prometheus reads them, and their type."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST
