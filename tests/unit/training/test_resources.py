import pytest

from homefeed.errors import ConfigError
from homefeed.training.resources import TrainingResources


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "tpu"}, "device 'tpu' is not one of cpu, cuda"),
        ({"backend": "mpi"}, "backend 'mpi'"),
        ({"precision": "fp16"}, "precision 'fp16'"),
        ({"backend": "nccl"}, "needs device 'cuda'"),
        ({"num_workers": -1}, r"num_workers \(-1\)"),
    ],
)
def test_impossible_resources_say_what_is_wrong(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingResources(**changes)


def test_a_gpu_profile_is_accepted() -> None:
    found = TrainingResources(num_workers=4, device="cuda", backend="nccl", precision="bf16")
    assert found.num_workers == 4
