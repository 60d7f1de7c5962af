"""The pipeline *embeddings*: from a log to published user embeddings.

1. check       validate, set bad rows aside, refuse above thresholds
2. sequences   one memory-mapped row per user
3. items       item vectors as of the encoders' cut-off
4. encoder     PinnerFormer by Ray Train
5. evaluate    Recall@10 on held-out users and time, beside three baselines
6. embed       dated snapshots and indexes, by Ray Data
7. publish     the feature store, read back
"""

from kfp import dsl

from components.build_sequences import build_sequences
from components.check_data import check_data
from components.embed_snapshots import embed_snapshots
from components.evaluate_user_encoder import evaluate_user_encoder
from components.fit_item_encoder import fit_item_encoder
from components.publish_features import publish_features
from components.train_user_encoder import train_user_encoder


@dsl.pipeline(name="embeddings", description="From a log to published user embeddings.")
def embeddings(
    data: str = "world",
    data_fingerprint: str = "",
    code_version: str = "",
    config: str = "cluster",
    world: str = "base",
    sequences: str = "base",
    item_encoder: str = "base",
    user_encoder: str = "base",
    evaluation: str = "base",
) -> None:
    """Run the steps above; every setting is a recipe's name or its section in JSON."""
    code = {"code_version": code_version}
    check = check_data(
        data=data, data_fingerprint=data_fingerprint, world=world, config=config, **code
    )
    log = {"checked": check.outputs["checked"]}
    store = build_sequences(**log, sequences=sequences, **code)
    log["store"] = store.outputs["store"]
    cut = {"sequences": sequences, **code}
    items = fit_item_encoder(**log, item_encoder=item_encoder, **cut)
    made = {"items": items.outputs["items"]}
    encoder = train_user_encoder(**log, **made, user_encoder=user_encoder, config=config, **cut)
    made["encoders"] = encoder.outputs["encoders"]
    evaluate_user_encoder(**log, **made, evaluation=evaluation, **cut)
    snapshots = embed_snapshots(**log, encoders=made["encoders"], config=config, **cut)
    publish_features(
        snapshots=snapshots.outputs["snapshots"], config=config, **code
    ).set_caching_options(enable_caching=False)  # it writes to a store outside of the run
