"""The devices that torch may compute on."""

from homefeed.errors import ConfigError


def require_device(device: str, key: str) -> None:
    """Raise ConfigError where ``device`` is cuda and torch finds none; ``key`` asked for it."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"{key} is cuda, and torch {torch.__version__} finds no CUDA device here; give "
            f"{key}=cpu, or run it where a GPU and a CUDA build of torch are"
        )
