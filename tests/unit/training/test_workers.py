"""Real processes over gloo: the collectives, and a whole fit with one and with two workers."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from homefeed.training.workers import Worker

from . import one_of_many

KEYS = slice(16, 32)  # of the 3 × 16 biases of queries, keys and values


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, random_store) -> dict[tuple[int, int], dict]:
    """What each (size, rank) wrote."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "store.pickle").write_bytes(pickle.dumps(vars(random_store(num_users=24))))
    processes = [
        subprocess.Popen(
            [sys.executable, one_of_many.__file__, folder, str(rank), "2"], stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    one_of_many.main(folder, 0, 1)
    for process in processes:
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors.decode()
    return {
        (size, rank): pickle.loads((folder / f"{size}-{rank}.pickle").read_bytes())
        for size, rank in ((1, 0), (2, 0), (2, 1))
    }


@pytest.mark.parametrize("users", ["fit", "one user"])
def test_one_and_two_workers_give_the_same_losses_and_weights(found, users) -> None:
    alone = found[1, 0][users]  # of one user, the second worker has none
    for rank in range(2):
        together = found[2, rank][users]
        np.testing.assert_allclose(together["losses"], alone["losses"], rtol=3e-6)
        np.testing.assert_allclose(together["log_scale"], alone["log_scale"], rtol=1e-5)
        for name, weight in alone["weights"].items():
            ours = together["weights"][name]
            if name.endswith("qkv.bias"):  # softmax cancels the keys' bias: its gradient is noise
                weight, ours = np.delete(weight, KEYS), np.delete(ours, KEYS)
            np.testing.assert_allclose(ours, weight, atol=1e-4, rtol=1e-3, err_msg=name)


def test_the_weights_moved_far_more_than_they_differ(found) -> None:
    fit = found[1, 0]["fit"]
    for name in ("blocks.0.ffn.0.weight", "items.mlp.0.weight", "project.weight"):
        assert np.median(np.abs(fit["weights"][name] - fit["first"][name])) > 0.01


def test_gathered_rows_are_everybodys_and_their_gradients_come_back(found) -> None:
    weight = np.arange(10.0).reshape(5, 2)
    both_losses = 2 * (weight + weight + 100)  # rows were doubled, and both workers read them
    for rank, owned in ((0, slice(0, 3)), (1, slice(3, 5))):
        seen = found[2, rank]["collectives"]
        np.testing.assert_allclose(seen["rows"], 2 * weight)
        expected = np.zeros((5, 2))
        expected[owned] = both_losses[owned]
        np.testing.assert_allclose(seen["grad"], expected)


def test_gradients_are_summed_even_where_a_worker_has_none(found) -> None:
    for rank in range(2):
        seen = found[2, rank]["collectives"]
        assert seen["used"] == [3, 3, 3]
        assert seen["unused"] == [1, 1]
        assert seen["total"] == 3


def test_shares_cover_every_row_once() -> None:
    for size in (1, 2, 3, 7):
        for count in (0, 1, 5, 14):
            parts = [Worker(rank=r, size=size).share(count) for r in range(size)]
            rows = [i for p in parts for i in range(p.start, p.stop)]
            assert rows == list(range(count))
