"""How much of the machine this process was given: cores, and a container's share of them. Knows no settings."""

import math
import os
from pathlib import Path


def available_threads() -> int:
    """How many cores this process may use: those of its affinity mask, or fewer where a container has a CPU quota."""
    # macOS has no affinity masks.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cpu_quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """How many CPUs' time the control groups of this process grant it, or None without a limit.

    The files are those of the Linux kernel's documentation: `cpu.max` (cgroup v2), `cpu.cfs_quota_us` and
    `cpu.cfs_period_us` (v1). The tightest limit of a group and those around it counts.

    Args:
        groups: where the groups lie.
        own: the file that says which of them are this process's.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    quotas: list[float | None] = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = groups / "cpu" if controllers else groups
        inner = Path(path.strip("/"))
        # A container may be told a path that lies outside of what it sees; its own group is then the top one.
        around = [Path()] if ".." in inner.parts else [inner, *inner.parents]
        quotas += [_quota_of(top / part) for part in around]
    return min((quota for quota in quotas if quota is not None), default=None)


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
