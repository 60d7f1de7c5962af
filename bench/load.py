"""Open-loop and closed-loop load over kept-alive loopback connections, in one small process.

Latency is counted from when a request was due, not from when it was sent, so a stall of the
server is paid by every request that it held up (no coordinated omission).
"""

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What a load did. The rate counts full answers only: a degraded one (popular items where the
    scorer was late) is cheap, and would pass for capacity. Latencies are of all that was answered,
    degraded ones too: leaving out those that waited for a late scorer would flatter the p99.
    """

    latency_ms: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)  # 200, 429, or the step of degrading
    stages_ms: dict[str, list[float]] = field(default_factory=dict)
    wall_s: float = 0.0

    @property
    def rate(self) -> float:
        """Full answers per second."""
        return self.statuses.get("200", 0) / self.wall_s if self.wall_s else 0.0

    def add(self, latency_ms: float, answer: "Answer") -> None:
        """Record one answer."""
        outcome = answer.degraded or str(answer.status)
        self.statuses[outcome] = self.statuses.get(outcome, 0) + 1
        if answer.status == 200:
            self.latency_ms.append(latency_ms)
        if outcome != "200":
            return
        for part in filter(None, answer.timing.split(", ")):
            name, _, spent = part.partition(";dur=")
            self.stages_ms.setdefault(name, []).append(float(spent))


@dataclass(frozen=True)
class Answer:
    """What a load needs to know of one answer."""

    status: int
    timing: str  # the Server-Timing header
    degraded: str | None


class Connection:
    """One HTTP/1.1 connection that sends one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.reader: asyncio.StreamReader | None = None

    async def post(self, path: str, body: dict) -> Answer:
        """Send one request and read its answer."""
        if self.reader is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        payload = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        self.writer.write(head.encode() + payload)
        header = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        values = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in header.split("\r\n")[1:])
        }
        content = await self.reader.readexactly(int(values["content-length"]))
        found = re.search(rb'"degraded":"(\w+)"', content)
        return Answer(
            status=int(header.split(" ", 2)[1]),
            timing=values.get("server-timing", ""),
            degraded=found.group(1).decode() if found else None,
        )

    def close(self) -> None:
        """Close it."""
        if self.reader is not None:
            self.writer.close()


async def closed_loop(
    host: str, port: int, make: Callable[[int], tuple[str, dict]], clients: int, seconds: float
) -> Outcome:
    """``clients`` that each send the next request when the last was answered."""
    outcome, number = Outcome(), iter(range(10**9))
    start = time.perf_counter()

    async def client() -> None:
        connection = Connection(host, port)
        while time.perf_counter() - start < seconds:
            path, body = make(next(number))
            sent = time.perf_counter()
            answer = await connection.post(path, body)
            outcome.add((time.perf_counter() - sent) * 1000, answer)
            if answer.status == 429:
                await asyncio.sleep(0.05)  # a refused client that hammers only heats the machine
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    outcome.wall_s = time.perf_counter() - start
    return outcome


async def open_loop(
    host: str, port: int, make: Callable[[int], tuple[str, dict]], due_s: list[float]
) -> Outcome:
    """Requests due at the given seconds from now, whatever the server does."""
    outcome, idle = Outcome(), []
    start = time.perf_counter() + 0.1

    async def one(number: int, due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        connection = idle.pop() if idle else Connection(host, port)
        path, body = make(number)
        answer = await connection.post(path, body)
        outcome.add((time.perf_counter() - due) * 1000, answer)
        idle.append(connection)

    await asyncio.gather(*(one(i, start + due) for i, due in enumerate(due_s)))
    outcome.wall_s = time.perf_counter() - start
    for connection in idle:
        connection.close()
    return outcome
