"""A workspace with three tiny artifacts, and manifests that name them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from homefeed.artifacts import write_json
from homefeed.clock import SimulatedClock
from homefeed.release import Part, ReleaseManifest, ReleaseRegistry

ITEM_HASH, USER_HASH = "a" * 16, "b" * 16


def _artifact(workspace: Path, folder: str, file: str, values: dict) -> Path:
    path = workspace / folder
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / file, values)
    (path / "weights.pt").write_bytes(b"weights of " + folder.encode())
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
def make_manifest(workspace: Path) -> Callable[..., ReleaseManifest]:
    def make(ranker: str = "first", **changes) -> ReleaseManifest:
        ranker_hash = (ranker.encode().hex() + "0" * 16)[:16]
        places = {
            "item_encoder": _artifact(
                workspace, "item_encoders/x", "item.json", {"hash": ITEM_HASH}
            ),
            "user_encoder": _artifact(
                workspace, "user_encoders/x", "encoder.json",
                {"hash": USER_HASH, "item_encoder_hash": ITEM_HASH},
            ),
            "ranker": _artifact(
                workspace, f"rankers/{ranker}", "ranker.json",
                {
                    "hash": ranker_hash, "user_encoder_hash": USER_HASH,
                    "inputs": {"action_types": ["", "click", "long_view"]},
                },
            ),
        }  # fmt: skip
        hashes = {"item_encoder": ITEM_HASH, "user_encoder": USER_HASH, "ranker": ranker_hash}
        parts = {
            role: Part.of(path, name=role, version=1, hash=hashes[role], workspace=workspace)
            for role, path in places.items()
        }
        values = {
            "preprocessing_hash": "p" * 16, "users_hash": "u" * 16, "items_hash": "i" * 16,
            "dataset": "shop", "dataset_fingerprint": "d" * 16, "code_version": "1.0+abc",
            "realtime": True, "heads": ("click", "long_view"),
        }  # fmt: skip
        return ReleaseManifest(**{**parts, **values, **changes})

    return make


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(1_000.0)


@pytest.fixture(scope="session")
def fresh_tracking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow file with its tables made once: the migrations cost seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    registry = ReleaseRegistry(folder)
    registry.model.aliases()
    return folder / "mlflow" / "mlflow.db"


@pytest.fixture
def registry(workspace: Path, clock: SimulatedClock, fresh_tracking: Path) -> ReleaseRegistry:
    target = workspace / "mlflow" / "mlflow.db"
    target.parent.mkdir(parents=True)
    target.write_bytes(fresh_tracking.read_bytes())
    return ReleaseRegistry(workspace, clock=clock, who="tester")
