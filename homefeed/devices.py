"""The devices and threads that torch may compute on."""

from collections.abc import Iterator
from contextlib import contextmanager

from homefeed.errors import ConfigError


def require_device(device: str, key: str) -> None:
    """Raise ConfigError where ``device`` is cuda and torch finds none; ``key`` asked for it."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"{key} is cuda, and torch {torch.__version__} finds no CUDA device here; give "
            f"{key}=cpu, or run it where a GPU and a CUDA build of torch are"
        )


def device_or_cpu(device: str) -> str:
    """The device, or cpu where torch finds no such one: for work that needs no GPU to be done."""
    import torch

    return "cpu" if device == "cuda" and not torch.cuda.is_available() else device


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Products in so many threads: another split of a product may round otherwise."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
