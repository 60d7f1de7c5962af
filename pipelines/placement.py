"""Where a compiled pipeline's steps run: their image and, on a cluster, volume and accelerators.

Pipelines are written without any of it. A placement is put onto the compiled YAML, so that one
pipeline serves each installation; `homefeed.yaml` says which.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from homefeed.artifacts import hash_json
from homefeed.config import Config, PipelinesConfig

CLUSTER = "cluster"  # the profile whose steps share a volume
CLAIM = "homefeed-workspace"  # infra/kubernetes/base/storage.yaml
ACCELERATOR = "nvidia.com/gpu"
_TRAINING = ("exec-train-user-encoder", "exec-train-rankers")
_EMBEDDING = ("exec-embed-snapshots", "exec-embed-day")  # their actors share one accelerator
_WITH_RAY = (*_TRAINING, *_EMBEDDING)  # its processes, and NCCL's, share memory


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What the configuration says about the pods of the steps."""

    image: str = PipelinesConfig.image
    mount: str = ""  # where the claim `homefeed-workspace` is mounted; empty: nowhere
    accelerators: int = 0  # of a training step: one for each Ray worker; 0: none anywhere

    @classmethod
    def of(cls, config: Config) -> "Placement":
        """The configuration's image; in the profile ``cluster``, volume and accelerators too."""
        if config.profile != CLUSTER:
            return cls(image=config.pipelines.image)
        on_cuda = config.training.device == "cuda"
        return cls(
            image=config.pipelines.image,
            mount=config.storage.root,
            accelerators=max(1, config.training.num_workers) if on_cuda else 0,
        )

    @property
    def suffix(self) -> str:
        """``-<6 digits>`` for a version's name; empty for the placement that changes nothing."""
        return "" if self == Placement() else f"-{hash_json(dataclasses.asdict(self))[:6]}"


def place(package: Path, placement: Placement) -> None:
    """Put the placement onto a compiled pipeline, in place.

    The image replaces the base image of every executor. The rest is written as
    ``kfp.kubernetes``' ``mount_pvc``, ``empty_dir_mount`` and ``set_image_pull_policy`` and
    ``PipelineTask.set_accelerator_*`` write it. On a cluster the check of the data never comes from
    the cache.
    """
    if placement == Placement():
        return
    text = package.read_text(encoding="utf-8")
    heading = "".join(line for line in text.splitlines(True) if line.startswith("# "))
    spec, *platforms = yaml.safe_load_all(text)
    executors = spec["deploymentSpec"]["executors"]
    for name, executor in executors.items():
        executor["container"]["image"] = placement.image
        if placement.accelerators and name in _WITH_RAY:
            count = placement.accelerators if name in _TRAINING else 1
            resources = executor["container"].setdefault("resources", {})
            resources["accelerator"] = _accelerator(count)
    documents = [spec, *platforms]
    if placement.mount:
        _always_check(spec)
        pods = {name: _pod(placement.mount, shares=name in _WITH_RAY) for name in executors}
        documents = [spec, _platform(pods)]
    body = yaml.dump_all(documents, sort_keys=True, allow_unicode=True)
    package.write_text(heading + body, encoding="utf-8")


def _always_check(spec: dict[str, Any]) -> None:
    """Data on a cluster grow under the same name, and no fingerprint of them is passed."""
    tasks = spec["root"]["dag"]["tasks"]
    if "check-data" in tasks:
        tasks["check-data"]["cachingOptions"] = {}


def _accelerator(count: int) -> dict[str, str]:
    # The first two names are older backends'.
    return {
        **{"count": str(count), "type": ACCELERATOR},
        **{"resourceCount": str(count), "resourceType": ACCELERATOR},
    }


def _pod(mount: str, *, shares: bool) -> dict[str, Any]:
    memory = {"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory"}
    return {
        **({"emptyDirMounts": [memory]} if shares else {}),  # a pod has 64 MiB of it otherwise
        "imagePullPolicy": "IfNotPresent",  # a local cluster loads the image itself
        "pvcMount": [
            {
                "constant": CLAIM,
                "mountPath": mount,
                "pvcNameParameter": {"runtimeValue": {"constant": CLAIM}},
            }
        ],
    }


def _platform(executors: dict[str, Any]) -> dict[str, Any]:
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
