"""The pipeline *abtest*: a test of the newest releases, its verdict, the promotion.

The stages before it come from the cache where nothing changed. No step holds a server: `start`
waits until a running one reports the arms ready.
"""

from kfp import dsl

from pipelines.stages import abtest_stage, encoder_stage, log_stage, publish_stage, ranking_stage


@dsl.pipeline(name="abtest", description="Start a test, analyse it, carry its verdict out.")
def abtest(
    data: str = "world",
    data_fingerprint: str = "",
    code_version: str = "",
    config: str = "cluster",
    serving_url: str = "http://feed.homefeed.svc",
    world: str = "base",
    sequences: str = "base",
    item_encoder: str = "base",
    user_encoder: str = "base",
    evaluation: str = "base",
    ranker: str = "base",
    abtest: str = "base",
) -> None:
    """Run the steps above; every setting is a recipe's name or its section in JSON."""
    parameters = dict(locals())
    log = log_stage(parameters)
    made = encoder_stage(parameters, log)
    published = publish_stage(parameters, log, made)
    ranked = ranking_stage(parameters, log, made, published)
    abtest_stage(parameters, log, ranked)
