"""A step's loss beside equation 2, written out position by position."""

import numpy as np
import torch

from homefeed.models.config import PinnerFormerConfig
from homefeed.training.fit_user_encoder import UserEncoderFit
from homefeed.training.user_encoder_config import UserEncoderConfig
from homefeed.training.workers import Worker

CONFIG = UserEncoderConfig(
    network=PinnerFormerConfig(
        dim=8, width=16, layers=1, heads=2, history_length=10, id_embedding_dim=8, item_hidden=16
    ),
    **{"steps": 2, "batch_users": 8, "positions_per_user": 4, "num_negatives": 12},
    sketch_width=1 << 12,
)


def test_a_steps_loss_is_equation_two_with_its_corrections_masks_and_weights(random_store) -> None:
    fit = UserEncoderFit(
        *(CONFIG, random_store(num_users=24), np.zeros((41, 0), dtype=np.float32)),
        np.arange(1, 25),
        before_s=1_600_000_000 + 35 * 86_400,
        worker=Worker(),
    )
    batch, net = fit.plan(0), fit.model.eval()
    with torch.no_grad():
        user = net(batch.histories, batch.read)
        target, pool = net.embed_items(batch.target), net.embed_items(batch.pool)
        found, tau = float(fit.loss(batch)), float(torch.exp(-fit.log_scale))
    masked = set(zip(*(part.tolist() for part in batch.masked), strict=True))
    assert batch.target_log_q.any()
    assert len(batch.weight.unique()) > 1
    total = 0.0
    for q, weight in enumerate(batch.weight):
        own = user[q] @ target[q] / tau - batch.target_log_q[q]
        others = [
            user[q] @ pool[n] / tau + batch.pool_log_weight[n]
            for n in range(len(pool))
            if (q, n) not in masked
        ]
        total += float(weight * (torch.stack([own, *others]).logsumexp(0) - own))
    np.testing.assert_allclose(found, total, rtol=1e-4)
