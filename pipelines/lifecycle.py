"""The pipeline *lifecycle*: all of it, once: raw actions to a promoted ranker.

The stages of *embeddings*, then the point-in-time training set, the rankers of all arms in one
fit, their evaluation, one release per arm, the gate, the A/B test, the promotion and the report.
"""

from kfp import dsl

from components.write_report import write_report
from pipelines.stages import abtest_stage, encoder_stage, log_stage, publish_stage, ranking_stage


@dsl.pipeline(name="lifecycle", description="Raw actions to an A/B-tested, promoted ranker.")
def lifecycle(
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
    """Run all stages; every setting is a recipe's name or its section in JSON."""
    parameters = dict(locals())
    log = log_stage(parameters)
    made = encoder_stage(parameters, log)
    published = publish_stage(parameters, log, made)
    ranked = ranking_stage(parameters, log, made, published)
    tested = abtest_stage(parameters, log, ranked)
    write_report(
        data=data,
        checked=log["check_piece"],
        sequences=log["sequences_piece"],
        training=made["training_piece"],
        evaluation=made["evaluation_piece"],
        embeddings=published["embeddings_piece"],
        published=published["published_piece"],
        training_set=ranked["training_set_piece"],
        ranking=ranked["ranking_piece"],
        releases=ranked["releases_piece"],
        gate=ranked["gate_piece"],
        abtest=tested["abtest_piece"],
        promotion=tested["promotion_piece"],
        code_version=code_version,
    ).set_caching_options(enable_caching=False)
