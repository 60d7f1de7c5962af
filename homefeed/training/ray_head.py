"""One Ray head for a whole local run.

``python -m homefeed.training.ray_head ADDRESS_FILE NUM_CPUS OBJECT_STORE_MB`` starts it, writes
its address, and shuts it down when standard input ends: with its parent, however that ends.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from homefeed.errors import HomefeedError

WAIT_S = 180.0


def main(address_file: Path, num_cpus: int, object_store_mb: int) -> None:
    """Start the head, say where it is, and stay until standard input closes."""
    import ray

    context = ray.init(
        num_cpus=num_cpus,
        object_store_memory=object_store_mb << 20,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=tempfile.gettempdir(),  # short: AF_UNIX paths end at 107 bytes
    )
    beside = address_file.with_suffix(".partial")
    beside.write_text(context.address_info["gcs_address"])
    beside.rename(address_file)
    try:
        _start_shared_actors()
    except (ImportError, AttributeError) as error:  # Ray's own names: another Ray may change them
        print(f"jobs will start the actors that they share themselves: {error}", file=sys.stderr)
    sys.stdin.read()
    ray.shutdown()


def _start_shared_actors() -> None:
    """The actors of which a cluster has one, and for which its first fit and its first Ray Data job
    would wait: some three seconds each, of imports.
    """
    from ray.data._internal.cluster_autoscaler import default_autoscaling_coordinator
    from ray.data._internal.stats import get_or_create_stats_actor

    default_autoscaling_coordinator.get_or_create_autoscaling_coordinator()
    get_or_create_stats_actor()


def ray_address() -> str | None:
    """The address of the run's head, waiting until it is up; None where there is no head.

    Raises HomefeedError where a head was promised and did not come, or has ended (at once: its
    starter writes the exit code beside the address).
    """
    if "RAY_ADDRESS" in os.environ:
        return os.environ["RAY_ADDRESS"]
    promised = os.environ.get("HOMEFEED_RAY_ADDRESS_FILE")
    if not promised:
        return None
    deadline = time.monotonic() + WAIT_S
    ended = exit_code_file(Path(promised))
    while not Path(promised).exists() or ended.exists():
        if ended.exists():
            raise _no_head(f"ended with code {ended.read_text()}")
        if time.monotonic() > deadline:
            raise _no_head(f"did not start within {WAIT_S:.0f} s")
        time.sleep(0.1)
    return Path(promised).read_text()


def exit_code_file(address_file: Path) -> Path:
    """Where the starter of a head says with which code it ended."""
    return address_file.with_suffix(".ended")


def _no_head(what: str) -> HomefeedError:
    log = os.environ.get("HOMEFEED_RAY_HEAD_LOG", "ray-head.log in the run's folder")
    return HomefeedError(
        f"the Ray head {what}; see its log {log}, or train without Ray with "
        "--set training.num_workers=0"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
