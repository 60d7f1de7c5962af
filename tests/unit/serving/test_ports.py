import socket
from pathlib import Path

import pytest

from homefeed.errors import ServerError
from serving.ports import free_port

HERE = "127.0.0.1"


def test_the_wanted_port_is_taken_where_it_is_free():
    port = free_port(HERE)
    assert free_port(HERE, port) == port


def test_a_busy_port_gives_way_to_one_that_the_system_gives_to_nobody_by_itself():
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        taken.listen()
        busy = taken.getsockname()[1]
        found = {free_port(HERE, busy) for _ in range(20)}
    told = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first, last = map(int, told.read_text().split()) if told.exists() else (32_768, 60_999)
    assert busy not in found
    assert not any(first <= port <= last for port in found)


def test_a_host_that_is_not_this_machine_is_told_with_the_port_that_was_asked_for():
    with pytest.raises(ServerError, match=r"port 3000 on 192\.0\.2\.1 cannot be used"):
        free_port("192.0.2.1", 3000)
