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

from pipelines.stages import encoder_stage, log_stage, publish_stage


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
    parameters = dict(locals())
    log = log_stage(parameters)
    made = encoder_stage(parameters, log)
    publish_stage(parameters, log, made)
