"""The ranker (TransAct, KDD'23): features → full-rank DCN v2 → MLP → one head per action type.

Per candidate: its item (projected vector + learned id), day-lagged item statistics, how familiar
the user is with it (``data.familiarity``), the user vector and its match with the item in the user
encoder's space, hour and day, surface, and of the last actions the summary of TransAct and how near
the item is to them (``nearness``). The position at which an item was shown is not a feature: it is
unknown when ranking. Variants are configurations: ``full``, ``pinnerformer`` (no sequence) and
``control`` (mean of recent items, no sequence).

A logit is the sum of two parts: the user's *level* at that moment (how readily this user acts on
anything, from the user vector and the kinds of the last actions, no candidate in it) and the
candidate's *relevance* to the user. Within a request the level moves no order. Across moments of
one user it must not: it follows the labels of the user's own earlier impressions, and among the
impressions of one list what was taken before is not there to be taken again
(docs/lab_log.md, "Lists across moments"). For the same reason relevance reads of TransAct's summary
only what sets the candidate apart: the summary for a typical item (the mean vector of the training
candidates) is taken off it. A whole summary also tells how active the user has just been.

Shapes: R requests, N candidates, A actions, C item dim, E an action's features, F features,
H heads, S statistics, D the user vector's dim, V the item encoder's, M means of actions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from homefeed.clock import DAY_S
from homefeed.data.familiarity import FEATURES
from homefeed.models import nearness
from homefeed.models.config import RankerConfig
from homefeed.models.dcn import DeepCross
from homefeed.models.ranker_batch import ItemTables, RankerBatch
from homefeed.models.ranker_description import RankerInputs
from homefeed.models.transact import TransAct
from homefeed.models.transact_shared import encode_shared
from homefeed.models.user_level import UserLevel

WEEK_S = 7 * DAY_S


@dataclass(frozen=True, kw_only=True)
class UserSide:
    """What is computed once per request."""

    history: Tensor  # (R, A, E) projected items and action types, newest first
    present: Tensor  # (R, A) bool
    context: Tensor  # (R, F) request and user features
    vector: Tensor  # (R, D)
    means: Tensor | None  # (R, M, V) of the last actions' item vectors; None without a sequence
    level: Tensor  # (R, H) logits that all candidates share


class Ranker(nn.Module):
    """Logits per head for the candidates of some requests. Call ``bind`` before ``forward``."""

    def __init__(self, config: RankerConfig, inputs: RankerInputs) -> None:
        super().__init__()
        self.config, self.inputs = config, inputs
        t = config.transact
        self.item_projection = nn.Linear(inputs.vector_dim, t.item_dim, bias=False)
        if config.item_ids:
            self.item_id = nn.Embedding(inputs.item_count + 1, t.item_dim, padding_idx=0)
        if config.sequence:
            self.action_type = nn.Embedding(len(inputs.action_types), t.action_dim, padding_idx=0)
            self.transact = TransAct(t)
        self.surface = nn.Embedding(max(len(inputs.surfaces), 1), config.surface_dim)
        if self.reads_vector:
            self.user_projection = nn.Linear(inputs.user_vector_dim, config.user_dim, bias=False)
        self.register_buffer("stats_mean", torch.zeros(len(inputs.stats)))
        self.register_buffer("stats_scale", torch.ones(len(inputs.stats)))
        self.register_buffer("told", torch.ones(len(FEATURES)))
        self.register_buffer("typical_vector", torch.zeros(inputs.vector_dim))
        self.register_buffer("typical_match", torch.zeros(inputs.user_vector_dim))
        self.cross = DeepCross(self.width, config.cross_layers, config.hidden, config.dropout)
        self.heads = nn.Linear(self.cross.outputs, len(inputs.heads))
        self.level = UserLevel(
            state_dim=1 + (inputs.user_vector_dim + 2 if self.reads_vector else 0),
            action_dim=t.item_dim + t.action_dim if config.sequence else 0,
            types=len(inputs.action_types),
            hidden=config.level_hidden,
            heads=len(inputs.heads),
        )
        # No weights, but they go where the weights go.
        self.register_buffer("item_vectors", None, persistent=False)
        self.register_buffer("match_vectors", None, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Learned ids start small beside the projected vectors, relevance at zero."""
        nn.init.zeros_(self.heads.bias)
        if self.config.sequence:
            # Cancelled by the difference of two summaries: Adam would blow up their rounding.
            self.transact.summary.bias.requires_grad_(False)
            self.transact.layers[-1].norm2.bias.requires_grad_(False)
        if self.config.item_ids:
            nn.init.normal_(self.item_id.weight, std=0.01)
            with torch.no_grad():
                self.item_id.weight[0].zero_()

    @property
    def reads_vector(self) -> bool:
        """Whether the ranker reads a user vector."""
        return self.config.user_vector != "none"

    @property
    def width(self) -> int:
        """Features per candidate, F."""
        c = self.config
        width = 4 + c.surface_dim + 1  # time, surface, length of the history
        width += c.user_dim + 2 + 1 if self.reads_vector else 0  # vector, known and age, match
        width += c.transact.item_dim + len(self.inputs.stats) + len(FEATURES)
        if c.sequence:
            width += nearness.width(len(self.inputs.action_types)) + c.transact.output_dim
        return width

    def bind(self, tables: ItemTables) -> "Ranker":
        """Attach the items' vectors (not part of the weights); returns self."""
        device = self.stats_mean.device
        self.item_vectors = torch.as_tensor(tables.vectors, device=device)
        if self.reads_vector:
            self.match_vectors = torch.as_tensor(
                tables.match[self.config.user_vector], device=device
            )
        return self

    def set_normaliser(self, mean: Tensor, scale: Tensor) -> None:
        """Mean and standard deviation [S] of the item statistics in the training set.

        One that never differs there is not read: no weight was learned for what may come later.
        """
        self.stats_mean.copy_(mean)
        self.stats_scale.copy_(torch.where(scale > 1e-6, scale.clamp(min=1e-3), torch.inf))

    def set_told(self, met_F: Tensor) -> None:
        """Which features of familiarity the training set holds: serving may bring others too."""
        self.told.copy_(met_F)

    def set_typical_item(self, vector_V: Tensor, match_D: Tensor) -> None:
        """Mean of the training candidates: in the item encoder's space, in the user encoder's."""
        self.typical_vector.copy_(vector_V)
        self.typical_match.copy_(match_D)

    def set_base_rates(self, rate_H: Tensor) -> None:
        """Start each head at its label's rate [H] in the training set."""
        with torch.no_grad():
            self.level.logits[-1].bias.copy_(torch.logit(rate_H, eps=1e-5))

    def forward(self, batch: RankerBatch) -> Tensor:
        """Logits [N, H]."""
        level_NH, relevance_NH = self.parts(batch)
        return level_NH + relevance_NH

    def parts(self, batch: RankerBatch) -> tuple[Tensor, Tensor]:
        """The two parts of the logits: the user's level and the relevance, [N, H] each."""
        user = self.user_side(batch)
        item_NC = self.item_features(batch.candidates)
        summary = None
        if self.config.sequence:
            summary = self._summary(user, item_NC, batch.request)
        relevance_NH = self.candidate_side(user, batch, item_NC, summary)
        return user.level[batch.request], relevance_NH

    def item_features(self, items: Tensor) -> Tensor:
        """Item indices [...] → [..., C]: projected vector plus learned id."""
        features = self.item_projection(self.item_vectors[items])
        if self.config.item_ids:
            known = torch.where(items <= self.inputs.item_count, items, 0)
            features = features + self.item_id(known)
        return features

    def typical_item(self) -> Tensor:
        """Features [1, C] of the typical item; it has no id of its own."""
        return self.item_projection(self.typical_vector)[None]

    def _summary(self, user: UserSide, item_NC: Tensor, request_N: Tensor) -> Tensor:
        """TransAct's summary of each candidate less that of the typical item → [N, O]."""
        requests = torch.arange(len(user.history), device=request_N.device)
        item = torch.cat([item_NC, self.typical_item().expand(len(requests), -1)])
        request = torch.cat([request_N, requests])
        of_all = encode_shared(self.transact, user.history, user.present, item, request)
        return of_all[: len(item_NC)] - of_all[len(item_NC) :][request_N]

    def user_side(self, batch: RankerBatch) -> UserSide:
        """Everything that all candidates of a request share."""
        present = batch.actions > 0
        history, means = self.item_projection.weight.new_zeros(*batch.items.shape, 0), None
        if self.config.sequence:
            history = torch.cat(
                [self.item_features(batch.items), self.action_type(batch.actions)], dim=-1
            )
            means = nearness.means_of_actions(
                self.item_vectors[batch.items], batch.actions, len(self.inputs.action_types)
            )
        known = [torch.log1p(present.sum(1, keepdim=True).float()) / 5]
        if self.reads_vector:
            has_vector = (batch.user_vector != 0).any(1, keepdim=True).float()
            age = torch.log1p(batch.vector_age_s.clamp(min=0))[:, None] / 12 * has_vector
            known += [has_vector, age]
        context = [_clock(batch.time_s), self.surface(batch.surface), *known]
        if self.reads_vector:
            context.append(self.user_projection(batch.user_vector))
        state = torch.cat([*known, batch.user_vector] if self.reads_vector else known, dim=-1)
        return UserSide(
            history=history,
            present=present,
            context=torch.cat(context, dim=-1),
            vector=batch.user_vector,
            means=means,
            level=self.level(state, batch.actions, history),
        )

    def candidate_side(
        self, user: UserSide, batch: RankerBatch, item_NC: Tensor, summary_NO: Tensor | None
    ) -> Tensor:
        """Relevance [N, H] from the user side, the items [N, C] and TransAct's summary [N, O]."""
        stats = (batch.stats - self.stats_mean) / self.stats_scale
        parts = [user.context[batch.request], item_NC, stats, batch.familiarity * self.told]
        if self.reads_vector:
            apart_ND = (self.match_vectors[batch.candidates] - self.typical_match) * nearness.GAIN
            parts.append((user.vector[batch.request] * apart_ND).sum(1, keepdim=True))
        if summary_NO is not None:
            item_NV = self.item_vectors[batch.candidates]
            parts.append(nearness.nearness(user.means, item_NV, self.typical_vector, batch.request))
            parts.append(summary_NO)
        return self.heads(self.cross(torch.cat(parts, dim=-1)))


def _clock(time_s: Tensor) -> Tensor:
    """Request times int64 [R] → [R, 4]: hour of the day and day of the week on circles (UTC)."""
    # Reduced in int64 first: float32 holds absolute seconds only to about two minutes.
    day = (time_s % DAY_S).float() * (2 * torch.pi / DAY_S)
    week = (time_s % WEEK_S).float() * (2 * torch.pi / WEEK_S)
    return torch.stack([day.cos(), day.sin(), week.cos(), week.sin()], dim=-1)
