"""The registered model ``homefeed`` in MLflow: a version per release, aliases as a projection.

MLflow as it really behaves (3.17): the first use of one SQLite file by several processes at once
crashes, so the first use takes a file lock; artifact roots are relative to the working directory
unless an experiment names its own; deleting an alias that is not there is no error, but asking
for one is INVALID_PARAMETER_VALUE, and version searches return no aliases, so aliases are read
from the registered model; moves of an alias are not compare-and-set, so the ledger decides; an
error of its database is raised and logged as well, with a traceback that nobody needs beside ours.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from homefeed.errors import StorageError
from homefeed.release.entries import LedgerState
from homefeed.release.manifest import SHORT, ReleaseManifest
from homefeed.training.tracking import first_use_lock, local_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_NAME = "homefeed"
EXPERIMENT = "homefeed-releases"
ALIASES = ("champion", "challenger", "previous")
HASH_TAG = "release_hash"
# Read by MLflow at each request; what the environment says already stays.
SOON = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}


class RegisteredModel:
    """Versions and aliases of ``homefeed`` at one tracking URI."""

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri
        self._client: MlflowClient | None = None

    def register(self, manifest: ReleaseManifest) -> int:
        """Make a version of this release, or return the one that is there.

        Raises StorageError where MLflow does not answer: nothing is recorded then.
        """
        from mlflow.exceptions import MlflowException

        try:
            known = self._version_of(manifest.release_hash)
            return known if known is not None else self._create(manifest)
        except MlflowException as error:
            raise StorageError(
                f"MLflow at {self.tracking_uri} did not register the release ({one_line(error)}); "
                "run the same once more when it answers"
            ) from error

    def project(self, state: LedgerState) -> None:
        """Set the aliases as the ledger says; aliases that it does not name are removed.

        A server that does not answer is given up within seconds: a rollback waits for this.
        """
        with _given_up_soon():
            client, wanted = self._connect(), _wanted(state)
            found = client.get_registered_model(MODEL_NAME).aliases
            for alias in ALIASES:
                version = wanted.get(alias)
                if version is None and alias in found:
                    client.delete_registered_model_alias(MODEL_NAME, alias)
                elif version is not None and str(found.get(alias)) != str(version):
                    client.set_registered_model_alias(MODEL_NAME, alias, str(version))

    def aliases(self) -> dict[str, int]:
        """Alias → version, of the aliases that the ledger projects."""
        found = self._connect().get_registered_model(MODEL_NAME).aliases
        return {alias: int(found[alias]) for alias in ALIASES if alias in found}

    def _version_of(self, release_hash: str) -> int | None:
        query = f"name = '{MODEL_NAME}' AND tags.{HASH_TAG} = '{release_hash}'"
        versions = self._connect().search_model_versions(query)
        return min((int(each.version) for each in versions), default=None)

    def _create(self, manifest: ReleaseManifest) -> int:
        client = self._connect()
        short = manifest.release_hash[:SHORT]
        run = client.create_run(self._experiment(), run_name=f"release-{short}")
        client.log_dict(run.info.run_id, manifest.to_json(), "release/manifest.json")
        for role, part in manifest.parts.items():
            client.log_param(run.info.run_id, role, f"{part.name} {part.version} {part.hash}")
        client.set_terminated(run.info.run_id)
        version = client.create_model_version(
            MODEL_NAME,
            source=f"{run.info.artifact_uri}/release",
            run_id=run.info.run_id,
            tags={
                HASH_TAG: manifest.release_hash,
                "feature_service": manifest.feature_service,
                "code_version": manifest.code_version,
                "dataset": manifest.dataset,
                "dataset_fingerprint": manifest.dataset_fingerprint,
            },
        )
        return int(version.version)

    def _experiment(self) -> str:
        client = self._connect()
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return found.experiment_id
        root = local_folder(self.tracking_uri)
        place = str(root / "artifacts" / EXPERIMENT) if root else None  # a server has its own
        return client.create_experiment(EXPERIMENT, artifact_location=place)

    def _connect(self) -> "MlflowClient":
        if self._client is None:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            from mlflow import MlflowClient

            logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
            with first_use_lock(self.tracking_uri):
                client = MlflowClient(self.tracking_uri, registry_uri=self.tracking_uri)
                client.search_experiments(max_results=1)  # creates the tables of a new file
                if not client.search_registered_models(f"name = '{MODEL_NAME}'"):
                    client.create_registered_model(
                        MODEL_NAME, description="Releases: one manifest each; see the ledger."
                    )
            self._client = client
        return self._client


def one_line(error: BaseException) -> str:
    """What MLflow says of an error, without the statement of SQL that it adds."""
    said = str(error).partition("\n[SQL:")[0]
    return " ".join(said.split()) or type(error).__name__


@contextmanager
def _given_up_soon() -> Iterator[None]:
    """MLflow's client asks a server seven times over minutes, unless its environment says less."""
    mine = {name: value for name, value in SOON.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)


def _wanted(state: LedgerState) -> dict[str, int | None]:
    return {
        "champion": state.champion,
        "challenger": state.challenger,
        "previous": state.previous,
    }
