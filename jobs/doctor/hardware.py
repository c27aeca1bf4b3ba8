"""What the machine offers: processor, memory, disk, GPUs, counters. No function raises."""

import os
import platform
import shutil
import sys
from pathlib import Path

from jobs.doctor.finding import Finding, ask_python
from jobs.launch.machine import ALLOCATOR, cpu_quota, read_text

GIBIBYTE = 2**30
NUM_RANKS = 2
"""Ranks that the threads per rank are given for."""
LEAST_FREE_BYTES = 2 * GIBIBYTE
"""What a small run with its datasets, checkpoints and report may take."""


def machine() -> list[Finding]:
    """Python, system, processor, memory and the threads a rank may use."""
    cores = len(os.sched_getaffinity(0))
    processor, instructions = processor_of(read_text("/proc/cpuinfo"))
    findings = [
        Finding("python", platform.python_version(), hint=sys.executable),
        Finding("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        Finding("processor", processor),
        Finding("instruction_sets", " ".join(instructions) or "baseline only"),
        Finding("cores_usable", cores, "cores", hint=f"of {os.cpu_count()} in the machine"),
    ]
    share = cpu_quota(read_text("/sys/fs/cgroup/cpu.max"))
    if share is not None and share < cores:
        text = "a container limits this process below its cores; use as many threads and ranks"
        findings.append(Finding("cpu_quota", share, "cores", hint=text))
    findings += [
        Finding("memory", round(memory_bytes() / GIBIBYTE, 1), "GiB"),
        Finding(
            "threads_per_rank",
            max(1, cores // NUM_RANKS),
            "threads",
            hint=f"with {NUM_RANKS} ranks here; OMP_NUM_THREADS="
            + os.environ.get("OMP_NUM_THREADS", "(not set)"),
        ),
    ]
    return findings


def processor_of(cpuinfo: str) -> tuple[str, list[str]]:
    """Return model name and the vector instruction sets from the text of /proc/cpuinfo."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    x86 = ("sse4_2", "avx", "fma", "avx2", "avx512f", "avx512_bf16", "amx_tile")
    arm = ("asimd", "sve", "sve2")
    flags = f"{fields.get('flags', '')} {fields.get('Features', '')}".split()
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, [flag for flag in (*x86, *arm) if flag in flags]


def memory_bytes() -> int:
    """Return the memory this process may use: the machine's, or its cgroup's limit if lower."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = read_text("/sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def disk() -> list[Finding]:
    """Whether the current folder takes files, and how many."""
    hint = "change to a folder that is writable, or name one with --out"
    try:
        here = Path.cwd()
    except OSError:
        return [Finding("working_folder", "it was deleted", "", "missing", hint)]
    if not os.access(here, os.W_OK):
        return [Finding("working_folder", f"{here} is read-only", "", "missing", hint)]
    free = shutil.disk_usage(here).free
    enough = free >= LEAST_FREE_BYTES
    hint = "" if enough else f"free at least {LEAST_FREE_BYTES // GIBIBYTE} GiB or use another disk"
    return [
        Finding("working_folder", str(here)),
        Finding("free_disk", round(free / GIBIBYTE, 1), "GiB", "ok" if enough else "missing", hint),
    ]


def gpus() -> list[Finding]:
    """The NVIDIA GPUs that the driver lists."""
    answer, why = ask_python(
        "import json, pynvml as nv\n"
        "nv.nvmlInit()\n"
        "devices = [nv.nvmlDeviceGetHandleByIndex(i) for i in range(nv.nvmlDeviceGetCount())]\n"
        "print(json.dumps({'devices': [[str(nv.nvmlDeviceGetName(d)),"
        " nv.nvmlDeviceGetMemoryInfo(d).total] for d in devices]}))"
    )
    devices = answer["devices"] if answer else []
    if devices:
        text = ", ".join(f"{name} ({size / GIBIBYTE:.0f} GiB)" for name, size in devices)
        return [Finding("gpus", text)]
    reason = why.partition(": ")[2] or why or "no device"
    hint = "not needed; with a GPU in the machine, install its driver"
    return [Finding("gpus", f"none ({reason})", "", "optional", hint)]


def energy() -> list[Finding]:
    """The processor's energy counters."""
    counter = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
    hint = "energies are then left out; counters need a bare-metal node and read permission"
    if os.access(counter, os.R_OK):
        return [Finding("energy_counters", "RAPL")]
    return [Finding("energy_counters", None, "", "optional", hint)]


def allocator() -> list[Finding]:
    """The glibc allocator settings that large windows train faster with."""
    if all(name in os.environ for name in ALLOCATOR):
        return [Finding("allocator", " ".join(f"{n}={os.environ[n]}" for n in ALLOCATOR))]
    setting = " ".join(f"{name}={value}" for name, value in ALLOCATOR.items())
    hint = f"long windows on large batches train faster with: export {setting}"
    return [Finding("allocator", "glibc defaults", "", "optional", hint)]
