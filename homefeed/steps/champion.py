"""The champion on a holdout that it was not made with: the log has grown, encoders were refitted.

It reads what it would have served with: its own user encoder's vectors, as of the same moments as
the challengers', and its own item tables. Items that the log gained since have no vector there.

Shapes: R requests, n rows, H heads, I items, D a user vector's dim.
"""

import numpy as np

from homefeed.data.ranking_rows import EVALUATION
from homefeed.data.sequences import SequenceStore
from homefeed.data.splits import window_text
from homefeed.data.training_set import TrainingSet
from homefeed.embedding import EmbeddingConfig, embed_users, item_vectors_for, require_same_items
from homefeed.errors import ReleaseError
from homefeed.evaluation.ranking import predict
from homefeed.models.item_encoders import ItemEncoder
from homefeed.models.ranker import Ranker
from homefeed.models.ranker_artifact import load_ranker
from homefeed.models.ranker_batch import ItemTables
from homefeed.models.ranker_description import describe_ranker
from homefeed.models.user_encoders import UserEncoder, load_user_encoder
from homefeed.release.opened import Release
from homefeed.training.ranker_batches import NO_VECTOR, RankerData

MUST_AGREE = ("heads", "stats", "action_types", "surfaces")  # their indices mean columns and rows


def score_release(
    release: Release, holdout: TrainingSet, store: SequenceStore, device: str = "cpu"
) -> np.ndarray:
    """A release's scores float32 [n, 2, H] of the holdout's evaluation rows, as ``predict``'s.

    Raises ArtifactError where the store's item vocabulary does not extend the release's,
    ReleaseError where its heads, statistics, action types or surfaces are others, or where it
    learned from the days that it would be judged on.
    """
    _require_unseen(release, holdout)
    ranker = load_ranker(release.ranker_path)
    encoder = load_user_encoder(release.user_encoder_path)
    require_same_items(encoder, store)
    _require_same_columns(release, ranker, holdout)
    kind, requests = ranker.config.user_vector, holdout.requests_of(EVALUATION)
    data = RankerData(holdout, store, [kind])
    if kind != NO_VECTOR and holdout.encoder_hash(kind) != release.encoder_hash:
        _, as_of_s = data.vectors[kind]
        own = _vectors_as_of(release, encoder.dim, holdout, store, as_of_s, requests, device)
        data.vectors[kind] = own, as_of_s
    ranker.bind(_tables(release, encoder, kind, store))
    return predict(ranker, data, requests)


def _require_unseen(release: Release, holdout: TrainingSet) -> None:
    learned_s = describe_ranker(release.ranker_path).bound_to["timeline"]["t1_s"]
    if learned_s > holdout.timeline.t1_s:
        raise ReleaseError(
            f"release {release.version} learned from days of the holdout, "
            f"{window_text(holdout.timeline.t1_s, learned_s)}: it would be judged on what it knows"
        )


def _require_same_columns(release: Release, ranker: Ranker, holdout: TrainingSet) -> None:
    for name in MUST_AGREE:
        mine, theirs = getattr(ranker.inputs, name), getattr(holdout.meta, name)
        if mine != theirs:
            raise ReleaseError(
                f"release {release.version} has the {name.replace('_', ' ')} {', '.join(mine)}, "
                f"the holdout {', '.join(theirs)}"
            )


def _vectors_as_of(
    release: Release,
    dim: int,
    holdout: TrainingSet,
    store: SequenceStore,
    as_of_s: np.ndarray,
    requests: np.ndarray,
    device: str,
) -> np.ndarray:
    """User vectors float32 [R, D] of ``requests`` as of ``as_of_s`` int64 [R]; zeros elsewhere."""
    vectors = np.zeros((len(as_of_s), dim), np.float32)
    user, config = np.asarray(holdout.user), EmbeddingConfig(device=device)
    for moment in np.unique(as_of_s[requests]):
        of_moment = requests[as_of_s[requests] == moment]
        if moment == 0:  # who had no vector of the challengers' has none here
            continue
        made = embed_users(release.user_encoder_path, store, user[of_moment], int(moment), config)
        vectors[of_moment] = made.vector[np.searchsorted(made.user, user[of_moment])]
    return vectors


def _tables(release: Release, encoder: UserEncoder, kind: str, store: SequenceStore) -> ItemTables:
    """Item tables float32 [I+1, ...] for all items of the store; later ones than its own are 0."""
    known = ItemEncoder.open(release.item_encoder_path).vectors
    vectors = np.zeros((store.meta.item_count + 1, known.shape[1]), np.float32)
    vectors[: len(known)] = known
    match = {} if kind == NO_VECTOR else {kind: item_vectors_for(encoder, store)}
    return ItemTables(vectors=vectors, match=match)
