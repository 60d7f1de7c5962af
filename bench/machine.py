"""What the benches ask of the machine they run on: a clock, and its rate of products."""

import time

import torch


def seconds(device: str) -> float:
    """A clock: this process's CPU time; the wall's once a GPU has done all it was given."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def gflops(dtype: torch.dtype, device: str = "cpu") -> float:
    """Rate of a square product (1024; on a GPU 8192), best of nine."""
    width = 1024 if device == "cpu" else 8192
    a = torch.randn(width, width, device=device).to(dtype)
    a @ a
    best = float("inf")
    for _ in range(9):
        start = seconds(device)
        a @ a
        best = min(best, seconds(device) - start)
    return 2 * width**3 / best / 1e9
