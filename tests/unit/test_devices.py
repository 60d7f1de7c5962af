import pytest
import torch

from homefeed.devices import require_device
from homefeed.errors import ConfigError


def test_a_device_that_is_not_there_is_named_with_what_asked_for_it() -> None:
    require_device("cpu", "training.device")
    if torch.cuda.is_available():
        require_device("cuda", "training.device")
        return
    with pytest.raises(ConfigError, match=r"serving.scorer_device is cuda.* no CUDA device"):
        require_device("cuda", "serving.scorer_device")
