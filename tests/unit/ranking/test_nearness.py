"""Nearness to the last actions, against a loop over candidates, means and actions."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from homefeed.models.nearness import GAIN, NEWEST, means_of_actions, nearness, width

TYPES, DIM = 4, 5


def _slow(vectors, actions, candidate, typical) -> list[float]:
    """What one candidate of one request reads, by the definition."""
    present = [a for a in range(len(actions)) if actions[a] > 0]
    members = [[a for a in present if actions[a] == kind] for kind in range(1, TYPES)]
    members += [[a for a in present if a < count] for count in NEWEST]
    found = []
    for rows in members:
        mean = sum((vectors[a] for a in rows), np.zeros(DIM)) / (len(rows) + 1)
        found.append(GAIN * float(mean @ (candidate - typical)))
    return found


@given(
    requests=st.integers(1, 4),
    length=st.sampled_from([0, 1, 4, 12, 40]),
    seed=st.integers(0, 99),
)
def test_it_is_the_dot_product_with_each_mean_of_the_actions(requests, length, seed):
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(requests, length, DIM))
    actions = generator.integers(0, TYPES, (requests, length))
    padding_behind = np.argsort(actions == 0, axis=1, kind="stable")
    actions = np.take_along_axis(actions, padding_behind, axis=1)
    request = np.sort(generator.integers(0, requests, 6))
    candidates, typical = generator.normal(size=(6, DIM)), generator.normal(size=DIM)
    means = means_of_actions(torch.from_numpy(vectors), torch.from_numpy(actions), TYPES)
    assert means.shape == (requests, width(TYPES), DIM)
    found = nearness(
        means, torch.from_numpy(candidates), torch.from_numpy(typical), torch.from_numpy(request)
    )
    wanted = [
        _slow(vectors[r], actions[r], candidate, typical)
        for r, candidate in zip(request, candidates, strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-9)


def test_the_typical_item_is_near_to_nothing():
    vectors, typical = torch.randn(1, 7, DIM), torch.randn(DIM)
    means = means_of_actions(vectors, torch.ones(1, 7, dtype=torch.int64), TYPES)
    found = nearness(means, typical[None], typical, torch.zeros(1, dtype=torch.int64))
    assert not found.any()


def test_padding_changes_nothing():
    vectors, actions = torch.randn(1, 6, DIM), torch.tensor([[1, 3, 2, 1, 1, 2]])
    longer = torch.cat([vectors, torch.randn(1, 9, DIM)], dim=1)
    padded = torch.nn.functional.pad(actions, (0, 9))
    torch.testing.assert_close(
        means_of_actions(longer, padded, TYPES), means_of_actions(vectors, actions, TYPES)
    )
