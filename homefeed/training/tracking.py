"""MLflow: runs with parameters and metrics, and registered models that are folders.

Everything goes through the client with an explicit run id, so nothing depends on the working
directory or on a process-wide active run. The first use of a SQLite file makes its schema, which
several processes at once would break: it happens under a file lock.
"""

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from homefeed.artifacts import writing
from homefeed.errors import ArtifactError, StorageError

if TYPE_CHECKING:
    from filelock import FileLock
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
FIRST_USE_TIMEOUT_S = 120.0
_PARAMETER_LENGTH = 500  # MLflow refuses longer values


def first_use_lock(tracking_uri: str) -> "FileLock":
    """The lock under which a local tracking file is first opened, by whichever workspace.

    Raises StorageError.
    """
    from filelock import FileLock

    folder = local_folder(tracking_uri) or Path.home() / ".cache" / "homefeed"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror}; choose another") from error
    return FileLock(folder / "mlflow.lock", timeout=FIRST_USE_TIMEOUT_S)


def local_folder(tracking_uri: str) -> Path | None:
    """Where a SQLite file of MLflow lies; None for a server."""
    if not tracking_uri.startswith(SQLITE):
        return None
    return Path(tracking_uri.removeprefix(SQLITE)).resolve().parent


class TrackedRun:
    """One MLflow run."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self.run_id, self._client = run_id, client

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log all metrics of one step in one message; ``step`` among them is left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        values = [Metric(k, float(v), now, step) for k, v in metrics.items() if k != "step"]
        self._client.log_batch(self.run_id, metrics=values)


class Tracking:
    """The tracking server or file at ``uri``; artifacts below ``root`` where it is a file."""

    def __init__(self, uri: str, root: Path, experiment: str = "homefeed") -> None:
        self.uri, self.root, self.experiment = uri, Path(root).resolve(), experiment
        self._ready: MlflowClient | None = None

    @property
    def client(self) -> "MlflowClient":
        """The MLflow client, its store ready."""
        if self._ready is None:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            from mlflow import MlflowClient

            self.root.mkdir(parents=True, exist_ok=True)
            with first_use_lock(self.uri):
                client = MlflowClient(self.uri, self.uri)
                self._experiment_id(client)
            self._ready = client
        return self._ready

    @contextmanager
    def run(
        self, name: str, params: Mapping[str, Any], tags: Mapping[str, str] | None = None
    ) -> Iterator[TrackedRun]:
        """A run that ends FINISHED, or FAILED where the body raised; nested params are flat."""
        from mlflow.entities import Param

        client = self.client
        experiment = self._experiment_id(client)
        run = client.create_run(experiment, run_name=name, tags=dict(tags or {}))
        run_id, status = run.info.run_id, "FAILED"
        try:
            values = [Param(k, str(v)[:_PARAMETER_LENGTH]) for k, v in _flat(params)]
            client.log_batch(run_id, params=values)
            yield TrackedRun(client, run_id)
            status = "FINISHED"
        finally:
            client.set_terminated(run_id, status)

    def register(
        self,
        model_name: str,
        folder: Path,
        tags: Mapping[str, str] | None = None,
        *,
        run_id: str | None = None,
    ) -> int:
        """Register a folder as the next version of a model; returns the version.

        Without ``run_id`` a run of its own holds the artifact.
        """
        if not Path(folder).is_dir():
            raise ArtifactError(f"cannot register {folder} as {model_name}: it is not a folder")
        if run_id is None:
            with self.run(f"register {model_name}", {}) as run:
                return self.register(model_name, folder, tags, run_id=run.run_id)
        client = self.client
        self._registered(client, model_name)
        place = f"{model_name}/{uuid.uuid4().hex[:8]}"  # a run may register several of a kind
        client.log_artifacts(run_id, str(folder), place)
        source = f"{client.get_run(run_id).info.artifact_uri}/{place}"
        version = client.create_model_version(
            model_name,
            source=source,
            run_id=run_id,
            tags={k: str(v) for k, v in (tags or {}).items()},
        )
        return int(version.version)

    def download(self, model_name: str, version: int, to: Path) -> Path:
        """The folder of a version: where it lies, or else a copy at ``to/<model>/<version>``.

        The copy of a version is made once, whole or not at all: releases name its place for good.
        """
        uri = self.model_uri(model_name, version)
        lies = Path(uri.removeprefix("file://"))
        if lies.is_dir():
            return lies
        target = Path(to) / model_name / str(version)
        if not target.is_dir():
            self._copy(uri, target)
        return target

    def _copy(self, uri: str, target: Path) -> None:
        import mlflow.artifacts

        with writing(target) as beside, TemporaryDirectory(dir=target.parent) as folder:
            place = str(Path(folder) / "copy")
            made = mlflow.artifacts.download_artifacts(uri, dst_path=place, tracking_uri=self.uri)
            Path(made).replace(beside)

    def model_uri(self, model_name: str, version: int) -> str:
        """Where a version's artifact is; ArtifactError where there is none."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_model_version_download_uri(model_name, str(version))
        except MlflowException as error:
            raise ArtifactError(
                f"no version {version} of the registered model {model_name!r} at {self.uri}; "
                "see `homefeed history`"
            ) from error

    def find(self, model_name: str, tags: Mapping[str, str]) -> int | None:
        """The newest version that carries all of ``tags``, or None."""
        found = self.client.search_model_versions(f"name='{model_name}'")
        wanted = {k: str(v) for k, v in tags.items()}
        versions = [int(v.version) for v in found if wanted.items() <= dict(v.tags).items()]
        return max(versions, default=None)

    def _experiment_id(self, client: "MlflowClient") -> str:
        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return found.experiment_id
        # The default artifact root would be relative to the working directory.
        root = f"{self.root}/artifacts" if self.uri.startswith("sqlite://") else None
        return client.create_experiment(self.experiment, artifact_location=root)

    @staticmethod
    def _registered(client: "MlflowClient", model_name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(model_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
