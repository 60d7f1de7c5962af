import numpy as np
import pytest
import torch

from homefeed.models.keyed_dropout import KeyedDropout, keep_mask, keyed_mask


def _reference_byte(key: int, site: int, column: int) -> int:
    """The same hash on Python's integers, one byte at a time."""

    def mix(x: int) -> int:
        x ^= x >> 16
        x = x * 0x85EBCA6B & 0xFFFFFFFF
        x ^= x >> 13
        x = x * 0xC2B2AE35 & 0xFFFFFFFF
        return x ^ x >> 16

    x = mix((key ^ (site + 1) * 0x9E3779B1) & 0xFFFFFFFF)
    x = mix((x + column // 4 * 0x85EBCA77) & 0xFFFFFFFF)
    return x >> 8 * (column % 4) & 255


def test_the_mask_is_murmurs_finaliser_of_key_site_and_column() -> None:
    keys = [0, 1, -1, 123456789, -(2**31), 2**31 - 1]
    mask = keep_mask(torch.tensor(keys, dtype=torch.int32), site=3, width=12, rate=0.25)
    for row, key in enumerate(keys):
        expected = [_reference_byte(key & 0xFFFFFFFF, 3, c) >= 64 for c in range(12)]
        assert mask[row].tolist() == expected


def test_a_tokens_mask_depends_on_its_key_and_not_on_its_neighbours() -> None:
    keys = torch.randint(-(2**31), 2**31, (64,), dtype=torch.int32)
    order = torch.randperm(64)
    assert torch.equal(keep_mask(keys, 1, 32, 0.3)[order], keep_mask(keys[order], 1, 32, 0.3))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_share_dropped_is_the_rate_and_the_mean_is_kept(rate: float) -> None:
    dropout = KeyedDropout(rate, site=0).train()
    out = dropout(torch.ones(4000, 64), torch.arange(4000, dtype=torch.int32))
    tolerance = 5 * np.sqrt(rate * (1 - rate) / out.numel()) + 1 / 512
    assert abs((out == 0).float().mean() - rate) < tolerance
    assert abs(out.mean() - 1) < 2 * tolerance / (1 - rate)


def test_sites_and_columns_are_independent() -> None:
    keys = torch.arange(20_000, dtype=torch.int32)
    a, b = (keep_mask(keys, site, 8, 0.5).float() - 0.5 for site in (0, 1))
    both = torch.cat((a, b), dim=1)  # (20000, 16) features of plus or minus a half
    correlation = both.T @ both / len(keys) * 4 - torch.eye(16)
    assert correlation.abs().max() < 0.04  # 5.6 standard errors


def test_evaluation_and_missing_keys_drop_nothing() -> None:
    x, keys = torch.randn(5, 8), torch.arange(5, dtype=torch.int32)
    assert KeyedDropout(0.5, 0).eval()(x, keys) is x
    assert KeyedDropout(0.5, 0).train()(x, None) is x


def test_item_ids_are_dropped_alike_wherever_they_occur_in_a_step() -> None:
    item = torch.arange(20_000)
    kept = keyed_mask(item, step_key=77, rate=0.2)
    assert torch.equal(kept[5:9], keyed_mask(item[5:9], step_key=77, rate=0.2))
    assert not torch.equal(kept, keyed_mask(item, step_key=78, rate=0.2))
    assert abs(kept.float().mean() - 0.8) < 0.015
