"""Beside the rooms: what the kernel knows: CPU and memory of processes, and the machine itself.

May import: standard library.

CPU is read from /proc, in steps of 10 ms: runs have to last seconds.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

_PROC = Path("/proc")
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)


def parent_of(pid: int) -> int:
    """Return the id of a process's parent."""
    return int(_stat(pid)[1])


def tree(root: int) -> list[int]:
    """Return a process and all that descend from it, itself first."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(parent_of(int(entry.name)), []).append(int(entry.name))
            except _GONE:
                continue
    found: list[int] = []
    to_do = [root]
    while to_do:
        found.append(to_do.pop())
        to_do += children.get(found[-1], [])
    return found


def cpu_ms(root: int) -> float:
    """Return the CPU time that a tree of processes has used, those that ended included."""
    total = 0.0
    for pid in tree(root):
        try:
            total += sum(map(int, _stat(pid)[11:15])) * _TICK_MS
        except _GONE:
            continue
    return total


def rss_mib(root: int) -> float:
    """Return the memory that a tree of processes has in use now, shared pages counted in each."""
    kib = 0
    for pid in tree(root):
        try:
            text = (_PROC / str(pid) / "status").read_text("ascii", errors="replace")
        except _GONE:
            continue
        kib += sum(map(int, re.findall(r"^VmRSS:\s+(\d+)", text, re.MULTILINE)))
    return kib / 1024


def busy_ms() -> float:
    """Return the CPU time that the whole machine has used since it started."""
    fields = (_PROC / "stat").read_text("ascii").split("\n", 1)[0].split()[1:8]
    user, nice, system, _idle, _waiting, irq, softirq = map(int, fields)
    return (user + nice + system + irq + softirq) * _TICK_MS


def describe() -> str:
    """Return the machine in one line."""
    models = re.findall(r"^model name\s*:\s*(.+)$", (_PROC / "cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", (_PROC / "meminfo").read_text(), re.MULTILINE)
    gib = int(memory[1]) / 1024**2 if memory else 0
    model = models[0] if models else platform.machine()
    return (
        f"{model}, {os.cpu_count()} cores, {gib:.0f} GiB, "
        f"{platform.system()} {platform.release().split('-')[0]}"
    )


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on."""
    text = (_PROC / str(pid) / "stat").read_text("ascii", errors="replace")
    return text.rsplit(")", 1)[1].split()
