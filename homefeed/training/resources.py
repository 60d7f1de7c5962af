"""Where and how a fit runs: the only thing that a profile changes about training."""

from dataclasses import dataclass

from homefeed.errors import ConfigError

DEVICES = ("cpu", "cuda")
BACKENDS = ("gloo", "nccl")
PRECISIONS = ("float32", "bf16")


@dataclass(frozen=True, kw_only=True)
class TrainingResources:
    """Workers, device, collective backend and precision of a fit.

    What is computed does not depend on ``num_workers`` beyond rounding: the batch is global.
    """

    num_workers: int = 2  # 0 = in this process, without Ray
    device: str = "cpu"  # "cpu" | "cuda": one device per worker
    backend: str = "gloo"  # "gloo" | "nccl"
    precision: str = "float32"  # "float32" | "bf16" (autocast; weights stay float32)
    threads_per_worker: int = 1  # torch threads of a CPU worker
    cpus_per_worker: float = 1.0  # what Ray reserves

    def __post_init__(self) -> None:
        for name, allowed in (
            ("device", DEVICES),
            ("backend", BACKENDS),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"training {name} {getattr(self, name)!r} is not one of {', '.join(allowed)}"
                )
        if self.backend == "nccl" and self.device == "cpu":
            raise ConfigError("backend 'nccl' needs device 'cuda'; use 'gloo' on CPUs")
        if self.num_workers < 0:
            raise ConfigError(f"num_workers ({self.num_workers}) must be 0 or more")
