"""The pipeline *ranking*: rankers on the newest encoders, released as challengers.

The log and encoder stages come from the cache where nothing changed; then the point-in-time
training set, one ranker per arm in one fit, the evaluation beside popularity, the releases, and
the gate that scores the champion again on the same holdout.
"""

from kfp import dsl

from pipelines.stages import encoder_stage, log_stage, publish_stage, ranking_stage


@dsl.pipeline(name="ranking", description="Rankers, evaluated and released as challengers.")
def ranking(
    data: str = "world",
    data_fingerprint: str = "",
    code_version: str = "",
    config: str = "cluster",
    world: str = "base",
    sequences: str = "base",
    item_encoder: str = "base",
    user_encoder: str = "base",
    evaluation: str = "base",
    ranker: str = "base",
) -> None:
    """Run the steps above; every setting is a recipe's name or its section in JSON."""
    parameters = dict(locals())
    log = log_stage(parameters)
    made = encoder_stage(parameters, log)
    published = publish_stage(parameters, log, made)
    ranking_stage(parameters, log, made, published)
