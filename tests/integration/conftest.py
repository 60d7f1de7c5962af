"""A Redis server for the tests that need one, where the machine has it, and a patient wait."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from serving.ports import free_port

PATIENCE_S = 300  # what a machine under load may need; nobody waits so long where all is well


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed on this machine")
    port = free_port("127.0.0.1")
    folder = tmp_path_factory.mktemp("redis")
    process = subprocess.Popen(
        [server, "--port", str(port), "--save", "", "--dir", str(folder), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _wait_for(port: int) -> None:
    import redis
    from redis.backoff import ConstantBackoff
    from redis.retry import Retry

    retry = Retry(ConstantBackoff(0.1), 10 * PATIENCE_S)
    redis.Redis("127.0.0.1", port, retry=retry, retry_on_error=[redis.ConnectionError]).ping()


@pytest.fixture
def empty_redis(redis_address: str) -> str:
    """The address of a Redis that holds nothing."""
    import redis

    host, port = redis_address.split(":")
    redis.Redis(host, int(port)).flushall()
    return redis_address


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait until a condition holds, for as long as a busy machine may need."""

    def wait(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.05)

    return wait
