"""The cluster's manifests, checked offline."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

INFRA = Path(__file__).resolve().parents[3] / "infra"
BASE = INFRA / "kubernetes" / "base"


def _documents() -> list[dict]:
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [d for name in names for d in yaml.safe_load_all((BASE / name).read_text()) if d]


@pytest.mark.parametrize(
    "document", _documents(), ids=lambda d: f"{d['kind']}-{d['metadata']['name']}"
)
def test_every_object_keeps_the_kubernetes_schema_in_strict_mode(document: dict) -> None:
    import kubernetes_validate

    # Raises on an unknown field, a wrong type, and a kind without a schema.
    kubernetes_validate.validate(document, "1.32", strict=True)


def test_the_validation_notices_a_misspelt_field() -> None:
    import kubernetes_validate

    document = next(d for d in _documents() if d["kind"] == "Deployment")
    document["spec"]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, "1.32", strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_renders_the_base() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(BASE)], capture_output=True, text=True, check=True
    )
    kinds = [d["kind"] for d in yaml.safe_load_all(done.stdout)]
    assert kinds.count("Deployment") == 2
    assert kinds.count("StatefulSet") == 2
    assert "NetworkPolicy" in kinds


def test_the_cluster_configuration_is_one_that_homefeed_reads() -> None:
    from homefeed.config import load_config

    config = load_config(BASE / "homefeed.yaml").config
    assert config.profile == "cluster"
    assert config.storage.online_store == "redis"
    assert config.training.device == "cuda"


def test_the_image_copies_every_package_that_it_installs() -> None:
    text = (INFRA / "images" / "Dockerfile").read_text()
    for package in (
        "homefeed",
        "homefeed_cli",
        "components",
        "pipelines",
        "feature_repo",
        "serving",
    ):
        assert f"COPY {package} {package}" in text
    assert "FROM base AS pipelines" in text
    assert "FROM base AS serving" in text
