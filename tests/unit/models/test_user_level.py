"""The user's level against counting action by action."""

import torch
from torch.nn import functional as F

from homefeed.models.user_level import POOLED, RECENT, UserLevel

TYPES, HIDDEN, STATE, ACTION = 4, 6, 3, 5


def _inputs(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    longest = max(lengths)
    actions = torch.randint(1, TYPES, (len(lengths), longest), generator=generator)
    for row, length in enumerate(lengths):
        actions[row, length:] = 0
    history = torch.randn(len(lengths), longest, ACTION, generator=generator)
    return torch.randn(len(lengths), STATE, generator=generator), actions, history


def _slowly(level: UserLevel, state, actions, history) -> torch.Tensor:
    """One user at a time, one action at a time."""
    rows = []
    for s, types, features in zip(state, actions.tolist(), history, strict=True):
        parts = [s]
        for newest in RECENT:
            seen = [t for t in types[:newest] if t > 0]
            parts.append(torch.tensor([seen.count(t) / (len(seen) + 1) for t in range(TYPES)]))
        for newest in POOLED:
            total, count = torch.zeros(HIDDEN), 0
            for t, feature in list(zip(types, features, strict=True))[:newest]:
                if t > 0:
                    total, count = total + F.relu(level.action(feature)), count + 1
            parts.append(total / (count + 1))
        rows.append(level.logits(torch.cat(parts)))
    return torch.stack(rows)


def _level(action_dim: int = ACTION) -> UserLevel:
    torch.manual_seed(0)
    return UserLevel(
        state_dim=STATE, action_dim=action_dim, types=TYPES, hidden=HIDDEN, heads=2
    ).eval()


def test_it_equals_counting_and_averaging_action_by_action() -> None:
    level, inputs = _level(), _inputs([0, 1, 4, 5, 6, 20, 21, 100, 130])
    with torch.no_grad():
        torch.testing.assert_close(level(*inputs), _slowly(level, *inputs))


def test_what_lies_in_padding_changes_nothing() -> None:
    level = _level()
    state, actions, history = _inputs([3, 12])
    other = history.clone()
    other[actions == 0] = 9.0
    with torch.no_grad():
        torch.testing.assert_close(level(state, actions, other), level(state, actions, history))


def test_without_a_history_only_the_state_is_read() -> None:
    level = _level(action_dim=0)
    state, actions, history = _inputs([3, 12])
    with torch.no_grad():
        torch.testing.assert_close(level(state, actions, history), level.logits(state))
