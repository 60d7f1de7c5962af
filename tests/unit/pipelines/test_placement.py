"""The image, the volume and the accelerators on compiled pipelines, and their versions' names."""

from pathlib import Path
from typing import Any

import yaml

from homefeed.config import load_config
from pipelines.compiled import compile_pipeline, version_name
from pipelines.placement import Placement, place


def _placement(*overrides: str, profile: str = "local") -> Placement:
    return Placement.of(load_config(profile=profile, overrides=overrides).config)


def _documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def test_the_default_configuration_changes_nothing(tmp_path: Path) -> None:
    plain = compile_pipeline("daily", tmp_path / "plain.yaml").read_text()
    placed = compile_pipeline("daily", tmp_path / "placed.yaml", _placement()).read_text()
    assert placed == plain


def test_every_step_runs_in_the_configured_image_and_nothing_else_changes(tmp_path: Path) -> None:
    placement = _placement("pipelines.image=registry/homefeed:1.2")
    (plain,) = _documents(compile_pipeline("daily", tmp_path / "plain.yaml"))
    path = compile_pipeline("daily", tmp_path / "placed.yaml", placement)
    (placed,) = _documents(path)
    assert path.read_text().startswith("# PIPELINE DEFINITION\n# Name: daily\n")
    for executor in plain["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = "registry/homefeed:1.2"
    assert placed == plain


def test_on_a_cluster_steps_have_the_volume_and_those_with_networks_accelerators(
    tmp_path: Path,
) -> None:
    placement = _placement("training.num_workers=8", "storage.root=/data", profile="cluster")
    spec, platform = _documents(compile_pipeline("embeddings", tmp_path / "x.yaml", placement))
    executors = spec["deploymentSpec"]["executors"]
    mounts = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(mounts) == set(executors)
    assert {m["mountPath"] for e in mounts.values() for m in e["pvcMount"]} == {"/data"}
    shared = {n for n, m in mounts.items() if "emptyDirMounts" in m}
    assert shared == {"exec-train-user-encoder", "exec-embed-snapshots"}
    asked = {n: _resources(e) for n, e in executors.items() if _resources(e)}
    counts = {name: each["accelerator"]["resourceCount"] for name, each in asked.items()}
    assert counts == {"exec-train-user-encoder": "8", "exec-embed-snapshots": "1"}


def test_on_a_cluster_the_check_of_the_data_never_comes_from_the_cache(tmp_path: Path) -> None:
    cached = {}
    for profile in ("local", "cluster"):
        placement = _placement("storage.root=/data", profile=profile)
        path = compile_pipeline("embeddings", tmp_path / f"{profile}.yaml", placement)
        tasks = _documents(path)[0]["root"]["dag"]["tasks"]
        cached[profile] = {n for n, t in tasks.items() if t["cachingOptions"].get("enableCache")}
    assert cached["local"] - cached["cluster"] == {"check-data"}


def _resources(executor: dict[str, Any]) -> Any:
    return executor["container"].get("resources")


def test_a_cluster_without_cuda_asks_for_no_accelerator() -> None:
    placement = _placement("training.device=cpu", "training.backend=gloo", profile="cluster")
    assert placement.accelerators == 0
    assert placement.mount == "/var/lib/homefeed"


def test_a_placed_step_is_what_kfp_itself_would_have_written(tmp_path: Path) -> None:
    from kfp import compiler, dsl, kubernetes

    @dsl.component(base_image="image:2", install_kfp_package=False)
    def train_rankers(a: str) -> None:
        """Do nothing."""

    def pipeline(decorated: bool) -> Any:
        @dsl.pipeline(name="one-step")
        def one_step(a: str = "1") -> None:
            task = train_rankers(a=a)
            if decorated:
                kubernetes.mount_pvc(task, pvc_name="homefeed-workspace", mount_path="/data")
                kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory")
                kubernetes.set_image_pull_policy(task, "IfNotPresent")
                task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(4)

        return one_step

    theirs, ours = tmp_path / "theirs.yaml", tmp_path / "ours.yaml"
    compiler.Compiler().compile(pipeline(True), str(theirs))
    compiler.Compiler().compile(pipeline(False), str(ours))
    place(ours, Placement(image="image:2", mount="/data", accelerators=4))
    assert _documents(ours) == _documents(theirs)


def test_another_image_or_another_volume_is_another_version() -> None:
    placements = [
        Placement(),
        Placement(image="b:1"),
        Placement(image="b:2"),
        Placement(mount="/d"),
    ]
    assert len({version_name(placement) for placement in placements}) == len(placements)
