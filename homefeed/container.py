"""What this process may use of its machine: limits of its control group, version 2 or 1."""

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")  # a container sees its own group there


def memory(root: Path = CGROUPS) -> int:
    """Bytes: the machine's memory, or the container's limit if that is smaller."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = memory_limit(root)
    return physical if limit is None else min(physical, limit)


def memory_limit(root: Path = CGROUPS) -> int | None:
    """Bytes that may be used; None where no limit can be read.

    Version 1 writes a number larger than any memory where there is no limit.
    """
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _number(root / file)
        if limit is not None:
            return limit
    return None


def cores(root: Path = CGROUPS) -> int:
    """Whole cores: those that this process may run on, or the container's if fewer; 1 or more."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = core_limit(root)
    return max(1, min(found or 1, int(limit) if limit is not None else found or 1))


def core_limit(root: Path = CGROUPS) -> float | None:
    """Cores that may be used at a time; None where no limit can be read."""
    quota, _, period = _text(root / "cpu.max").partition(" ")
    if not quota:
        quota = _text(root / "cpu" / "cpu.cfs_quota_us")  # -1: no limit
        period = _text(root / "cpu" / "cpu.cfs_period_us")
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return None
    return int(quota) / int(period)


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None  # else ``max``: no limit


def _text(path: Path) -> str:
    """What the file says; empty where there is none, or it may not be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
