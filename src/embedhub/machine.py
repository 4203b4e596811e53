"""How much of the machine this process was given: cores and memory, or a container's share. Knows no settings."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

# Where Linux shows control groups, and which of them are this process's.
_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def available_threads() -> int:
    """How many cores this process may use: those of its affinity mask, or fewer where a container has a CPU quota."""
    # macOS has no affinity masks.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def available_memory() -> int:
    """How many bytes of memory this process may use: those of the machine, or fewer where a container has a limit."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    # Without a limit, v1 writes a number that no machine has.
    return installed if limit is None else min(installed, limit)


def cpu_quota(groups: Path = _GROUPS, own: Path = _OWN) -> float | None:
    """How many CPUs' time the control groups of this process grant it, or None without a limit.

    The files are those of the Linux kernel's documentation: `cpu.max` (cgroup v2), `cpu.cfs_quota_us` and
    `cpu.cfs_period_us` (v1). The tightest limit of a group and those around it counts.

    Args:
        groups: where the groups lie.
        own: the file that says which of them are this process's.
    """
    quotas = (_quota_of(group) for group in _groups_of("cpu", groups, own))
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit(groups: Path = _GROUPS, own: Path = _OWN) -> int | None:
    """How many bytes the control groups of this process grant it, or None without a limit.

    The files are `memory.max` (cgroup v2) and `memory.limit_in_bytes` (v1); else as `cpu_quota`.
    """
    limits = (_limit_of(group) for group in _groups_of("memory", groups, own))
    return min((limit for limit in limits if limit is not None), default=None)


def _groups_of(controller: str, groups: Path, own: Path) -> Iterator[Path]:
    """The folders of the process's groups that may limit something, and of the groups around them."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        top = groups / controller if controllers else groups
        inner = Path(path.strip("/"))
        # A container may be told a path that lies outside of what it sees; its own group is then the top one.
        yield from (top / part for part in ([Path()] if ".." in inner.parts else [inner, *inner.parents]))


def _quota_of(group: Path) -> float | None:
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        # No limit is the word max in v2 and -1 in v1.
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _limit_of(group: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            limit = int((group / name).read_text())
        except (OSError, ValueError):
            continue
        # A group that may have nothing has no process.
        return limit if limit > 0 else None
    return None
