"""Step *training set*: what each request could know, user vectors by a point-in-time join."""

from kfp import dsl

from components.component import component


@component
def build_training_set(
    checked: dsl.Input[dsl.Dataset],
    store: dsl.Input[dsl.Artifact],
    snapshots: dsl.Input[dsl.Artifact],
    sequences: str,
    ranker: str,
    config: str,
    code_version: str,
    training_set: dsl.Output[dsl.Dataset],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Build the rows, then join the vectors that were readable strictly before each request."""
    from pathlib import Path

    from feature_repo.publish import join_vectors
    from homefeed.recipes import read_config
    from homefeed.steps.training_set import training_set_step, typed_requests

    made = training_set_step(
        Path(checked.path),
        Path(store.path),
        sequences,
        ranker,
        Path(training_set.path),
        Path(piece.path),
    )
    users, time_ms = typed_requests(made, Path(store.path))
    for kind, joined, encoder_hash in join_vectors(
        Path(snapshots.path), read_config(config), users, time_ms
    ):
        made.add_user_vectors(kind, joined.vectors, joined.as_of_s, encoder_hash)
        print(f"= {kind}: {100 * joined.found.mean():.1f} % of requests have a vector")
