from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from homefeed.errors import ArtifactError
from homefeed.models.config import PinnerFormerConfig
from homefeed.models.history import HistoryBatch, read_histories
from homefeed.models.user_encoders import load_user_encoder
from homefeed.training.checkpoints import FILE
from homefeed.training.fit_user_encoder import UserEncoderFit, run_fit
from homefeed.training.user_encoder_config import UserEncoderConfig
from homefeed.training.workers import Worker

BEFORE_S = 1_600_000_000 + 35 * 86_400
USERS = np.arange(1, 25)
NO_VECTORS = np.zeros((41, 0), dtype=np.float32)
CONFIG = UserEncoderConfig(
    network=PinnerFormerConfig(
        dim=8, width=16, layers=2, heads=2, history_length=10, id_embedding_dim=8, item_hidden=16
    ),
    steps=6,
    batch_users=8,
    positions_per_user=4,
    num_negatives=12,
    warmup_steps=2,
    sketch_width=1 << 12,
    report_every=2,
    checkpoint_every=3,
    learning_rate=0.01,
)


def _fit(store, config=CONFIG, **changes) -> UserEncoderFit:
    settings = {"before_s": BEFORE_S, "worker": Worker()} | changes
    return UserEncoderFit(config, store, NO_VECTORS, USERS, **settings)


def _weights(fit: UserEncoderFit) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in fit.model.state_dict().items()}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[k], other[k]) for k in one)


def _last_histories(store, users: np.ndarray) -> HistoryBatch:
    back = np.arange(10)
    end = store.start[users] + store.length[users] - 1
    positions = end[:, None] - back
    return read_histories(store, np.where(back < store.length[users][:, None], positions, -1))


def test_it_learns_who_likes_odd_and_who_likes_even_items(random_store) -> None:
    store = random_store(num_users=150, num_items=20)
    config = replace(CONFIG, steps=150, batch_users=48, num_negatives=1000, warmup_steps=5)
    vectors = np.zeros((21, 0), dtype=np.float32)
    learners, held_out = np.arange(1, 131), np.arange(131, 151)
    fit = UserEncoderFit(config, store, vectors, learners, before_s=BEFORE_S, worker=Worker())
    metrics = run_fit(fit, show=False)
    assert metrics[-1]["loss"] < metrics[0]["loss"] - 0.5
    encoder = fit.encoder(item_encoder_hash="", code_version="")
    users = encoder.embed(_last_histories(store, held_out)).numpy()
    similarity = users @ encoder.item_vectors().T  # (20, 21)
    odd_minus_even = similarity[:, 1::2].mean(1) - similarity[:, 2::2].mean(1)
    assert ((odd_minus_even > 0) == (held_out % 2 == 1)).mean() > 0.9


def test_a_fit_without_a_sketch_width_takes_what_its_log_needs(random_store) -> None:
    fit = _fit(random_store(num_users=24), replace(CONFIG, sketch_width=0))
    assert fit.probabilities.pairs.counts.shape == (2, 1 << 20)
    assert _fit(random_store(num_users=24)).probabilities.pairs.counts.shape == (2, 1 << 12)


def test_a_resumed_fit_ends_where_an_uninterrupted_one_does(random_store, tmp_path: Path) -> None:
    store = random_store(num_users=24)
    whole = _fit(store)
    run_fit(whole, show=False)
    first = _fit(store)
    while first.step < 3:
        first.train_step()
    first.save(tmp_path / "step")
    second = _fit(store)
    second.resume(tmp_path / "step")
    assert second.step == 3
    run_fit(second, show=False)
    expected, found = _weights(whole), _weights(second)
    assert all(torch.equal(found[k], expected[k]) for k in expected)
    assert second.log_scale.item() == whole.log_scale.item()


@pytest.mark.parametrize("changes", [{"learning_rate": 0.02}, {"seed": 1}, {"window_days": 3.0}])
def test_a_checkpoint_of_another_configuration_is_refused(
    random_store, tmp_path: Path, changes: dict
) -> None:
    store = random_store(num_users=24)
    _fit(store).save(tmp_path)
    with pytest.raises(ArtifactError, match="belongs to another fit"):
        _fit(store, replace(CONFIG, **changes)).resume(tmp_path)


def test_a_checkpoint_of_another_precision_is_refused(random_store, tmp_path: Path) -> None:
    store = random_store(num_users=24)
    _fit(store).save(tmp_path)
    with pytest.raises(ArtifactError, match="belongs to another fit"):
        _fit(store, precision="bf16").resume(tmp_path)


def test_a_checkpoint_of_other_item_vectors_is_refused(random_store, tmp_path: Path) -> None:
    store = random_store(num_users=24)
    vectors = np.random.default_rng(0).normal(size=(len(NO_VECTORS), 3)).astype(np.float32)
    first, second = (
        UserEncoderFit(CONFIG, store, v, USERS, before_s=BEFORE_S, worker=Worker())
        for v in (vectors, vectors + 1)
    )
    first.save(tmp_path)
    with pytest.raises(ArtifactError, match="belongs to another fit"):
        second.resume(tmp_path)


def test_a_truncated_or_missing_checkpoint_is_refused(random_store, tmp_path: Path) -> None:
    fit = _fit(random_store(num_users=24))
    with pytest.raises(ArtifactError, match="does not exist"):
        fit.resume(tmp_path)
    fit.save(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match="not a checkpoint"):
        fit.resume(tmp_path)


def test_reports_come_with_their_checkpoints(random_store, tmp_path: Path) -> None:
    reported = []
    run_fit(
        _fit(random_store(num_users=24)),
        checkpoints=tmp_path,
        report=lambda metrics, folder: reported.append((metrics["step"], folder)),
        show=False,
    )
    steps = [step for step, _ in reported]
    assert steps == [2, 3, 4, 6]
    assert [folder is not None for _, folder in reported] == [False, True, False, True]
    assert all((folder / FILE).is_file() for _, folder in reported if folder)


def test_the_saved_encoder_is_the_fitted_one(random_store, tmp_path: Path) -> None:
    store = random_store(num_users=24)
    vectors = np.random.default_rng(0).normal(size=(41, 3)).astype(np.float32)
    vectors[0] = 0
    fit = UserEncoderFit(CONFIG, store, vectors, USERS, before_s=BEFORE_S, worker=Worker())
    assert run_fit(fit, show=False)[-1]["step"] == CONFIG.steps
    fit.encoder(item_encoder_hash="abc", code_version="").save(tmp_path / "encoder")
    encoder = load_user_encoder(tmp_path / "encoder")
    assert encoder.origin.item_encoder_hash == "abc"
    assert encoder.origin.trained_before_s == BEFORE_S
    again = UserEncoderFit(CONFIG, store, vectors, USERS, before_s=BEFORE_S, worker=Worker())
    run_fit(again, show=False)
    expected = again.encoder(item_encoder_hash="abc", code_version="")
    assert encoder.hash == expected.hash
    histories = _last_histories(store, USERS)
    assert torch.equal(encoder.embed(histories), expected.embed(histories))


def test_every_user_of_a_batch_weighs_the_same(random_store) -> None:
    batch = _fit(random_store(num_users=24)).plan(0)
    row = np.searchsorted(np.cumsum(batch.histories.lengths), batch.read.numpy(), side="right")
    weights = np.bincount(row, weights=batch.weight.numpy())
    np.testing.assert_allclose(weights, 1 / len(weights), rtol=1e-6)


def test_the_uniform_negatives_are_items_known_in_time_and_the_unknown_one(random_store) -> None:
    store = random_store(num_users=24)
    fit = _fit(store)
    in_time = (store.time_s <= BEFORE_S) & (
        store.available_s(np.arange(len(store.item))) <= BEFORE_S
    )
    assert set(fit.corpus) == {0, *store.item[in_time]}


def test_planning_a_step_beside_the_one_before_it_changes_nothing(
    random_store, tmp_path: Path
) -> None:
    store = random_store(num_users=24)
    fits = [_fit(store), _fit(store)]
    found = [
        run_fit(fit, checkpoints=tmp_path / str(ahead), show=False, plan_ahead=ahead)
        for fit, ahead in zip(fits, (False, True), strict=True)
    ]
    losses = [[m["loss"] for m in metrics] for metrics in found]
    assert losses[0] == losses[1]
    assert _same(*map(_weights, fits))
    resumed = _fit(store)
    resumed.resume(tmp_path / "True" / "step-0000003")
    run_fit(resumed, show=False, plan_ahead=True)
    assert _same(_weights(fits[0]), _weights(resumed))


def test_no_checkpoint_holds_the_samples_of_a_step_that_was_only_planned(
    random_store, tmp_path: Path
) -> None:
    fit = _fit(random_store(num_users=24))
    fit.train_step(ahead=True)
    with pytest.raises(RuntimeError, match="planned ahead"):
        fit.save(tmp_path)
    fit.train_step()
    fit.save(tmp_path)


def test_bf16_trains_to_about_the_same_loss(random_store) -> None:
    store = random_store(num_users=24)
    exact = run_fit(_fit(store), show=False)[-1]["loss"]
    rough = run_fit(_fit(store, precision="bf16"), show=False)[-1]["loss"]
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.02)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-3), ("bf16", 0.03)])
def test_a_gpu_gives_the_same_losses_by_profile_alone(
    random_store, precision: str, tolerance: float
) -> None:
    store = random_store(num_users=24)
    on_cpu = [m["loss"] for m in run_fit(_fit(store), show=False)]
    gpu = _fit(store, worker=Worker(device="cuda"), precision=precision)
    on_gpu = [m["loss"] for m in run_fit(gpu, show=False)]
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")])
def test_a_fit_goes_on_from_a_checkpoint_of_another_device(
    random_store, tmp_path: Path, first: str, then: str
) -> None:
    store = random_store(num_users=24)
    whole = _fit(store, worker=Worker(device=then))
    run_fit(whole, show=False)
    interrupted = _fit(store, worker=Worker(device=first))
    for _ in range(3):
        interrupted.train_step()
    interrupted.save(tmp_path)
    resumed = _fit(store, worker=Worker(device=then))
    resumed.resume(tmp_path)
    run_fit(resumed, show=False)
    assert resumed.step == CONFIG.steps
    users = np.arange(1, 25)
    embedded = [
        fit.encoder(item_encoder_hash="", code_version="").embed(_last_histories(store, users))
        for fit in (whole, resumed)
    ]
    torch.testing.assert_close(*embedded, atol=5e-3, rtol=0)


@pytest.mark.gpu
def test_an_encoder_fitted_on_a_gpu_is_saved_for_any_device(random_store, tmp_path: Path) -> None:
    store = random_store(num_users=24)
    fit = _fit(store, worker=Worker(device="cuda"))
    run_fit(fit, show=False)
    fit.encoder(item_encoder_hash="", code_version="").save(tmp_path / "encoder")
    histories = _last_histories(store, np.arange(1, 25))
    on_cpu, on_gpu = (load_user_encoder(tmp_path / "encoder", device=d) for d in ("cpu", "cuda"))
    assert on_cpu.hash == on_gpu.hash
    torch.testing.assert_close(on_gpu.embed(histories), on_cpu.embed(histories), atol=1e-5, rtol=0)
    np.testing.assert_allclose(on_gpu.item_vectors(), on_cpu.item_vectors(), atol=1e-5)


def test_a_temperature_below_its_floor_is_brought_back_to_it(random_store) -> None:
    fit = _fit(random_store(num_users=24), replace(CONFIG, temperature_floor=0.01))
    with torch.no_grad():
        fit.log_scale.fill_(-np.log(0.001))  # where a step could have taken it
    fit.train_step()
    assert float(torch.exp(-fit.log_scale.detach())) == pytest.approx(0.01, rel=1e-5)


def test_the_temperature_is_learned(random_store) -> None:
    fit = _fit(random_store(num_users=24))
    before = float(fit.log_scale.detach())
    fit.train_step()
    assert float(fit.log_scale.detach()) != before
