"""The cluster's manifests, checked offline."""

import re
import shutil
import subprocess
import textwrap
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from homefeed.config import PipelinesConfig, load_config
from homefeed_cli.main import parser
from pipelines.local import MEMORY
from pipelines.placement import CLAIM
from pipelines.serving_url import SERVICE_URL

INFRA = Path(__file__).resolve().parents[3] / "infra"
BASE = INFRA / "kubernetes" / "base"
SHARED = INFRA / "kubernetes" / "shared"


def _documents(folder: Path = BASE) -> list[dict]:
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    files = [folder / name for name in names if (folder / name).is_file()]
    return [d for file in files for d in yaml.safe_load_all(file.read_text()) if d]


def _pods() -> list[dict]:
    return [d["spec"]["template"]["spec"] for d in _documents() if "template" in d.get("spec", {})]


def _names(kind: str) -> set[str]:
    return {d["metadata"]["name"] for d in _documents() if d["kind"] == kind}


@pytest.mark.parametrize(
    "document",
    _documents() + _documents(SHARED),
    ids=lambda d: f"{d['kind']}-{d['metadata']['name']}",
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


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_each_namespace_that_mounts_the_workspace_has_a_claim_on_the_same_share() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(SHARED)], capture_output=True, text=True, check=True
    )
    rendered = list(yaml.safe_load_all(done.stdout))
    volumes = {d["metadata"]["name"]: d for d in rendered if d["kind"] == "PersistentVolume"}
    claims = [d for d in rendered if d["kind"] == "PersistentVolumeClaim"]
    shares = []
    for claim in claims:
        volume = volumes.pop(claim["spec"]["volumeName"])["spec"]
        assert volume["claimRef"] == {
            "name": claim["metadata"]["name"],
            "namespace": claim["metadata"]["namespace"],
        }
        assert volume["storageClassName"] == claim["spec"]["storageClassName"]
        shares.append(volume["nfs"])
    assert {c["metadata"]["namespace"] for c in claims} == {"homefeed", PipelinesConfig.namespace}
    assert {c["metadata"]["name"] for c in claims} == {CLAIM}
    assert shares[0] == shares[1]


def _of_the_page(kind: str) -> list[str]:
    """The blocks of one kind in infra/README.md, which stand in a list."""
    page = (INFRA / "README.md").read_text()
    found = re.findall(rf"^   ```{kind}\n(.*?)^   ```", page, re.M | re.S)
    return [textwrap.dedent(block) for block in found]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_overlay_of_the_page_names_the_images_of_all_our_pods(tmp_path: Path) -> None:
    overlay, _ = _of_the_page("yaml")
    (tmp_path / "homefeed").symlink_to(INFRA.parent)
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "kustomization.yaml").write_text(overlay)
    done = subprocess.run(
        ["kubectl", "kustomize", str(tmp_path / "overlay")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    images = re.findall(r"^ *image: (\S+)$", done.stdout, re.M)
    ours = [image for image in images if "homefeed" in image]
    registry = "registry.example.com/homefeed"
    assert sorted(set(ours) - {"homefeed:latest"}) == [
        f"{registry}-serving:0.1.0",
        f"{registry}:0.1.0",
    ]
    assert ours.count("homefeed:latest") == 1, "in the configuration's text; nothing runs it"


def test_the_configuration_that_the_page_submits_with_is_the_clusters_by_a_forwarded_port(
    tmp_path: Path,
) -> None:
    _, text = _of_the_page("yaml")
    (tmp_path / "homefeed.yaml").write_text(text)
    config = load_config(tmp_path / "homefeed.yaml").config
    assert (config.profile, config.training.num_workers) == ("cluster", 1)
    assert config.pipelines.image == "registry.example.com/homefeed:0.1.0"
    assert f" {urlsplit(config.pipelines.host).port}:8888" in "".join(_of_the_page("bash"))


def test_every_pod_runs_as_the_user_of_its_image_and_may_write_to_its_volumes() -> None:
    dockerfile = (INFRA / "images" / "Dockerfile").read_text()
    (ours,) = map(int, re.findall(r"^USER (\d+)$", dockerfile, re.M))
    assert f"useradd --create-home --uid {ours} --gid {ours} homefeed" in dockerfile
    for pod in _pods():
        context = pod["securityContext"]
        assert context["runAsNonRoot"]
        assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"]
        of_ours = any(c["image"].startswith("homefeed") for c in pod["containers"])
        assert (context["runAsUser"] == ours) == of_ours


def test_one_server_alone_has_the_event_log_open() -> None:
    """SQLite's write-ahead log is for the processes of one machine: see infra/README.md."""
    (feed,) = (
        d for d in _documents() if d["kind"] == "Deployment" and d["metadata"]["name"] == "feed"
    )
    assert feed["spec"]["replicas"] == 1
    assert feed["spec"]["strategy"] == {"type": "Recreate"}
    assert not _names("HorizontalPodAutoscaler")
    assert not _names("PodDisruptionBudget"), "with one pod it would keep a node from draining"


def test_what_the_pods_mount_is_there() -> None:
    base = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    maps = {made["name"] for made in base["configMapGenerator"]}
    volumes = [volume for pod in _pods() for volume in pod.get("volumes", ())]
    claimed = [v["persistentVolumeClaim"] for v in volumes if "persistentVolumeClaim" in v]
    claims = {claim["claimName"] for claim in claimed}
    assert claims == {CLAIM} == _names("PersistentVolumeClaim")
    assert {v["configMap"]["name"] for v in volumes if "configMap" in v} == maps
    for made in base["configMapGenerator"]:
        assert all((BASE / file).is_file() for file in made["files"])


def test_every_address_of_the_base_is_a_service_with_its_full_name() -> None:
    config = load_config(BASE / "homefeed.yaml").config
    addresses = (SERVICE_URL, config.tracking_uri, f"redis://{config.storage.redis}")
    ports = {
        d["metadata"]["name"]: [port["port"] for port in d["spec"]["ports"]]
        for d in _documents()
        if d["kind"] == "Service"
    }
    for address in addresses:
        url = urlsplit(address)
        service, *domain = (url.hostname or "").split(".")
        assert domain == ["homefeed", "svc"], "a run's pods are in another namespace"
        assert (url.port or 80) in ports[service]


def test_the_command_of_the_server_is_one_that_homefeed_parses() -> None:
    (container,) = (c for pod in _pods() for c in pod["containers"] if c["name"] == "feed")
    program, *words = container["args"]
    assert program == "homefeed"
    args = parser().parse_args(words)
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(args.config.parent) in mounts
    assert load_config(BASE / args.config.name).config.storage.root in mounts


@pytest.mark.parametrize("file", ["infra/images/Dockerfile", "Makefile"])
def test_torch_is_pinned_to_the_version_of_the_constraints(file: str) -> None:
    root = INFRA.parent
    pin = re.compile(r"\btorch==([\w.]+)")
    (constraint,) = re.findall(r"^torch==([\w.]+)$", (root / "constraints.txt").read_text(), re.M)
    assert set(pin.findall((root / file).read_text())) == {constraint}


def test_the_cluster_configuration_is_one_that_homefeed_reads() -> None:
    config = load_config(BASE / "homefeed.yaml").config
    assert config.profile == "cluster"
    assert config.storage.online_store == "redis"
    assert config.training.device == "cuda"


def test_steps_in_the_image_keep_as_much_freed_memory_as_those_on_one_machine() -> None:
    text = (INFRA / "images" / "Dockerfile").read_text()
    assert all(re.search(rf"\b{name}={value}\b", text) for name, value in MEMORY.items())


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
    assert not re.search(r"&& [^(]*\|\| true", text), "it would forgive a failed installation"
