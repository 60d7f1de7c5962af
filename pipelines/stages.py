"""The stages that pipelines share: each is a straight line of steps, wired once.

A stage takes the pipeline's parameters and the outputs it needs, and returns its own outputs by
name. Steps that write outside of the run (stores, ledger, tests) are never taken from the cache.
"""

from typing import Any

from kfp import dsl

from components.analyse_abtest import analyse_abtest
from components.answer_visits import answer_visits
from components.build_sequences import build_sequences
from components.build_training_set import build_training_set
from components.carry_out_verdict import carry_out_verdict
from components.check_data import check_data
from components.embed_snapshots import embed_snapshots
from components.evaluate_rankers import evaluate_rankers
from components.evaluate_user_encoder import evaluate_user_encoder
from components.fit_item_encoder import fit_item_encoder
from components.gate_releases import gate_releases
from components.make_releases import make_releases
from components.publish_features import publish_features
from components.start_abtest import start_abtest
from components.train_rankers import train_rankers
from components.train_user_encoder import train_user_encoder

Outputs = dict[str, Any]

RUN = dsl.PIPELINE_JOB_ID_PLACEHOLDER  # kfp puts the run's id here; the ledger keeps it


def log_stage(p: Outputs) -> Outputs:
    """check → sequences."""
    check = check_data(
        data=p["data"],
        data_fingerprint=p["data_fingerprint"],
        world=p["world"],
        config=p["config"],
        code_version=p["code_version"],
    )
    checked = check.outputs["checked"]
    store = build_sequences(
        checked=checked, sequences=p["sequences"], code_version=p["code_version"]
    )
    return {
        "checked": checked,
        "store": store.outputs["store"],
        "check_piece": check.outputs["piece"],
        "sequences_piece": store.outputs["piece"],
    }


def encoder_stage(p: Outputs, log: Outputs) -> Outputs:
    """item encoder → user encoder → evaluate."""
    common = {"sequences": p["sequences"], "code_version": p["code_version"]}
    data = {"checked": log["checked"], "store": log["store"]}
    items = fit_item_encoder(**data, item_encoder=p["item_encoder"], **common).outputs["items"]
    trained = train_user_encoder(
        store=log["store"],
        items=items,
        user_encoder=p["user_encoder"],
        config=p["config"],
        **common,
    )
    encoders = trained.outputs["encoders"]
    evaluated = evaluate_user_encoder(
        **data, items=items, encoders=encoders, evaluation=p["evaluation"], **common
    )
    return {
        "items": items,
        "encoders": encoders,
        "training_piece": trained.outputs["piece"],
        "evaluation_piece": evaluated.outputs["piece"],
    }


def publish_stage(p: Outputs, log: Outputs, made: Outputs) -> Outputs:
    """embed → index → publish."""
    snapshots = embed_snapshots(
        checked=log["checked"],
        store=log["store"],
        encoders=made["encoders"],
        sequences=p["sequences"],
        config=p["config"],
        code_version=p["code_version"],
    )
    published = publish_features(
        snapshots=snapshots.outputs["snapshots"],
        config=p["config"],
        code_version=p["code_version"],
    ).set_caching_options(enable_caching=False)
    return {
        "snapshots": snapshots.outputs["snapshots"],
        "publishing": published,
        "embeddings_piece": snapshots.outputs["piece"],
        "published_piece": published.outputs["piece"],
    }


def ranking_stage(p: Outputs, log: Outputs, made: Outputs, published: Outputs) -> Outputs:
    """point-in-time training set → rankers → evaluate → release → gate."""
    code = {"code_version": p["code_version"]}
    data = {"checked": log["checked"], "store": log["store"]}
    models = {"items": made["items"], "encoders": made["encoders"]}
    examples = build_training_set(
        **data,
        snapshots=published["snapshots"],
        sequences=p["sequences"],
        ranker=p["ranker"],
        config=p["config"],
        **code,
    )
    # It reads what was published. As an input, which is new in every run, that would keep the
    # training set and the rankers out of the cache.
    examples.after(published["publishing"])
    training_set = examples.outputs["training_set"]
    rankers = train_rankers(
        store=log["store"],
        **models,
        training_set=training_set,
        ranker=p["ranker"],
        config=p["config"],
        **code,
    ).outputs["rankers"]
    evaluated = evaluate_rankers(
        **data, **models, training_set=training_set, rankers=rankers, **code
    )
    released = make_releases(
        **data,
        **models,
        rankers=rankers,
        snapshots=published["snapshots"],
        config=p["config"],
        run=RUN,
        **code,
    ).set_caching_options(enable_caching=False)
    gated = gate_releases(
        **data,
        training_set=training_set,
        evaluations=evaluated.outputs["evaluations"],
        releases=released.outputs["releases"],
        config=p["config"],
        run=RUN,
        **code,
    ).set_caching_options(enable_caching=False)
    return {
        "training_set": training_set,
        "evaluations": evaluated.outputs["evaluations"],
        "releases": released.outputs["releases"],
        "gating": gated,
        "gate": gated.outputs["gate"],
        "training_set_piece": examples.outputs["piece"],
        "ranking_piece": evaluated.outputs["piece"],
        "releases_piece": released.outputs["piece"],
        "gate_piece": gated.outputs["piece"],
    }


def abtest_stage(p: Outputs, log: Outputs, ranked: Outputs) -> Outputs:
    """start → visits (simulated users, or none) → analyse → carry the verdict out."""
    common = {"config": p["config"], "code_version": p["code_version"]}
    started = start_abtest(
        checked=log["checked"],
        releases=ranked["releases"],
        abtest=p["abtest"],
        serving_url=p["serving_url"],
        **common,
    ).set_caching_options(enable_caching=False)
    started.after(ranked["gating"])  # a run that fails before its gate leaves no test running
    visits = answer_visits(
        checked=log["checked"],
        started=started.outputs["started"],
        world=p["world"],
        abtest=p["abtest"],
        code_version=p["code_version"],
    ).set_caching_options(enable_caching=False)
    analysed = analyse_abtest(
        checked=log["checked"],
        training_set=ranked["training_set"],
        evaluations=ranked["evaluations"],
        started=started.outputs["started"],
        visits=visits.outputs["visits"],
        abtest=p["abtest"],
        **common,
    ).set_caching_options(enable_caching=False)
    carried_out = carry_out_verdict(
        checked=log["checked"],
        verdict=analysed.outputs["verdict"],
        gate=ranked["gate"],
        run=RUN,
        **common,
    ).set_caching_options(enable_caching=False)
    return {
        "abtest_piece": analysed.outputs["piece"],
        "promotion_piece": carried_out.outputs["piece"],
    }
