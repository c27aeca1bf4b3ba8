"""Checks of a site profile from a login node: commands, partition, account, limits, launcher."""

import getpass
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hpcbench.errors import EnvironmentLacks
from hpcbench.parallel.mpirun import find_launcher, open_mpi_version
from jobs.doctor.finding import Finding, last_line, run_child
from jobs.site.profile import Site
from jobs.slurm import queue
from jobs.slurm.batch import COMMANDS

Probe = Callable[[Site], list[Finding]]


def check_site(site: Site) -> list[Finding]:
    """Return the findings of a site as seen from here; without Slurm's commands only that."""
    if site.scheduler == "local":
        return [*launcher(site), *variables(site)]
    found = commands(site)
    if any(finding.status == "fail" for finding in found):
        return found
    probes: tuple[Probe, ...] = (
        partition,
        nodes,
        account,
        quality,
        reservation,
        arrays,
        accounting,
        launcher,
        variables,
    )
    with ThreadPoolExecutor(max_workers=len(probes)) as pool:
        return found + [
            line for lines in pool.map(lambda probe: probe(site), probes) for line in lines
        ]


def commands(site: Site) -> list[Finding]:
    """Slurm's commands, their version, and whether the controller answers them."""
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    if absent:
        hint = "run this on a login node of the cluster; perhaps: module load slurm"
        return [Finding("slurm", f"without {' '.join(absent)}", "", "fail", hint)]
    answers = " ".join(run_child([name, "--version"])[1] for name in COMMANDS)
    versions = sorted(set(re.findall(r"slurm[\w-]* \d[\w.-]*", answers)))
    findings = [Finding("slurm", ", ".join(versions) or "no version", "", "pass")]
    if len(versions) > 1:
        hint = "commands of several installations are on PATH; keep one"
        findings = [Finding("slurm", ", ".join(versions), "", "warn", hint)]
    code, said = run_child(["scontrol", "ping"])
    if code != 0 or "UP" not in said:
        hint = "the controller does not answer; run this on a login node, and check SLURM_CONF"
        return [*findings, Finding("slurm_controller", last_line(said), "", "fail", hint)]
    return [*findings, Finding("slurm_controller", last_line(said), "", "pass")]


def partition(site: Site) -> list[Finding]:
    """The partition: whether it is there and takes jobs, and its limits."""
    _, said = run_child(["scontrol", "-o", "show", "partition"])
    lines = [_fields(line) for line in said.splitlines()]
    known = [entry for entry in lines if "PartitionName" in entry]
    names = ", ".join(entry["PartitionName"] for entry in known)
    if site.partition is None:
        chosen = [entry for entry in known if entry.get("Default") == "YES"]
        if not chosen:
            hint = f"the site has no default partition; set partition to one of: {names}"
            return [Finding("partition", None, "", "fail", hint)]
    else:
        wanted = site.partition.split(",")
        chosen = [entry for entry in known if entry.get("PartitionName") in wanted]
        if len(chosen) < len(wanted):
            hint = f"partition: valid: {names}"
            return [Finding("partition", site.partition, "is not there", "fail", hint)]
    findings = []
    for entry in chosen:
        limits = " ".join(
            f"{k}={entry[k]}" for k in ("MaxTime", "MaxNodes", "TotalNodes") if k in entry
        )
        value = f"{entry.get('PartitionName')} {entry.get('State', '')} {limits}"
        if entry.get("State") == "UP":
            findings.append(Finding("partition", value, "", "pass"))
        else:
            findings.append(
                Finding("partition", value, "", "warn", "jobs wait until it is UP again")
            )
    return findings


def nodes(site: Site) -> list[Finding]:
    """The partition's nodes: how many work, their cores and GPUs, the features asked for."""
    where = [f"--partition={site.partition}"] if site.partition else []
    _, said = run_child(["sinfo", "--noheader", "--Node", "--format=%N|%c|%G|%f|%T", *where])
    rows = {
        line.split("|")[0]: line.strip().split("|")
        for line in said.splitlines()
        if line.count("|") == 4
    }
    if not rows:
        return [Finding("nodes", 0, "nodes", "fail", "the partition has none that you may see")]
    down = sorted(
        name for name, row in rows.items() if re.match("down|drain|fail|maint|unk", row[4])
    )
    hint = f"not usable now: {', '.join(down[:8])}" if down else ""
    status = "fail" if len(down) == len(rows) else "warn" if down else "pass"
    findings = [Finding("nodes", len(rows) - len(down), f"of {len(rows)} work", status, hint)]  # type: ignore[arg-type]
    cores = max(int(re.sub(r"\D", "", row[1]) or 0) for row in rows.values())
    if site.cores_per_node and site.cores_per_node > cores:
        hint = f"cores_per_node: given {site.cores_per_node}, no job would start; at most {cores}"
        findings.append(Finding("cores", cores, "on the largest node", "fail", hint))
    else:
        findings.append(Finding("cores", cores, "on the largest node", "pass"))
    if site.gpus_per_node:
        gpus = max(
            sum(map(int, re.findall(r"gpu(?::[\w.-]+)?:(\d+)", row[2]))) for row in rows.values()
        )
        good = gpus >= site.gpus_per_node
        hint = "" if good else f"gpus_per_node: given {site.gpus_per_node}; choose a GPU partition"
        findings.append(Finding("gpus_per_node", gpus, "", "pass" if good else "fail", hint))
    if site.constraint:
        features = {name for row in rows.values() for name in row[3].split(",")}
        absent = set(re.findall(r"[A-Za-z][\w.-]*", site.constraint)) - features
        valid = ", ".join(sorted(features))
        hint = f"constraint: no node has {', '.join(sorted(absent))}; valid: {valid}"
        findings.append(
            Finding("constraint", site.constraint, "", "fail", hint)
            if absent
            else Finding("constraint", site.constraint, "", "pass")
        )
    return findings


def account(site: Site) -> list[Finding]:
    """The accounts this user may charge, with their limits of jobs."""
    columns = "format=Account,Partition,MaxJobs,MaxSubmit"
    user = f"user={getpass.getuser()}"
    code, said = run_child(["sacctmgr", "-n", "-P", "show", "associations", user, columns])
    rows = (
        [line.split("|") for line in said.splitlines() if line.count("|") == 3] if code == 0 else []
    )
    known = sorted({row[0] for row in rows})
    if site.account is None:
        value = f"the site's default (yours: {', '.join(known) or 'none known'})"
        return [Finding("account", value, "", "pass")]
    if not known:
        hint = "the accounting names no account of yours; the trial job shows whether it is taken"
        return [Finding("account", site.account, "", "warn", hint)]
    mine = [row for row in rows if row[0] == site.account]
    if not mine:
        return [
            Finding("account", site.account, "", "fail", f"account: yours are {', '.join(known)}")
        ]
    limits = [
        f"{name}={row[i]}"
        for row in mine
        for i, name in ((2, "MaxJobs"), (3, "MaxSubmit"))
        if row[i]
    ]
    return [Finding("account", " ".join([site.account, *limits]), "", "pass")]


def quality(site: Site) -> list[Finding]:
    """The quality of service, when the profile names one."""
    if site.qos is None:
        return []
    _, said = run_child(["sacctmgr", "-n", "-P", "show", "qos", "format=Name,MaxWall,MaxSubmitPU"])
    rows = {line.split("|")[0]: line for line in said.splitlines()}
    if site.qos in rows:
        return [Finding("qos", rows[site.qos], "", "pass")]
    return [
        Finding("qos", site.qos, "", "fail", f"qos: valid: {', '.join(rows) or 'none is known'}")
    ]


def reservation(site: Site) -> list[Finding]:
    """The reservation, when the profile names one."""
    if site.reservation is None:
        return []
    code, said = run_child(["scontrol", "-o", "show", "reservation", site.reservation])
    if code == 0:
        entry = _fields(said)
        value = f"{site.reservation} {entry.get('StartTime', '')} to {entry.get('EndTime', '')}"
        return [Finding("reservation", value, "", "pass")]
    return [Finding("reservation", site.reservation, "", "fail", last_line(said))]


def arrays(site: Site) -> list[Finding]:
    """The longest job array."""
    largest = queue.max_array_size()
    if site.max_array_size and site.max_array_size > largest:
        hint = f"max_array_size: given {site.max_array_size}; the scheduler refuses above {largest}"
        return [Finding("array_size", largest, "tasks", "fail", hint)]
    return [Finding("array_size", largest, "tasks", "pass")]


def accounting(site: Site) -> list[Finding]:
    """Whether the accounting tells how jobs ended."""
    code, said = run_child(["sacct", "--noheader", "--allocations", "--format=JobID"])
    if code == 0:
        return [Finding("accounting", "sacct answers", "", "pass")]
    hint = "how a lost job ended is then unknown; the heartbeat alone tells that it is gone"
    return [Finding("accounting", last_line(said), "", "warn", hint)]


def launcher(site: Site) -> list[Finding]:
    """What starts the ranks: srun with its MPI plugin, or mpirun."""
    if site.launcher == "srun":
        wanted = next((o[6:] for o in site.launcher_options if o.startswith("--mpi=")), None)
        _, said = run_child(["srun", "--mpi=list"])
        known = re.findall(
            r"[\w/]+",
            said.partition("...")[2].replace("specific pmix plugin versions available", ""),
        )
        if wanted is None:
            return [Finding("launcher", "srun, the site's default MPI plugin", "", "pass")]
        if wanted in known:
            return [Finding("launcher", f"srun --mpi={wanted}", "", "pass")]
        offered = ", ".join(known) or last_line(said)
        hint = f'launcher_options: srun offers {offered}; or launcher = "mpirun"'
        return [Finding("launcher", f"srun --mpi={wanted}", "", "fail", hint)]
    found = find_launcher()
    if found is None:
        hint = "load the site's MPI module, or get the one from pip: HPCBENCH_MPI=wheel make setup"
        return [Finding("launcher", "no mpirun", "", "fail", hint)]
    try:
        version = open_mpi_version(found)
    except EnvironmentLacks as error:
        return [Finding("launcher", str(error), "", "fail", "load one MPI, then make setup")]
    return [
        Finding(
            "launcher", found if version is None else f"{found} (Open MPI {version})", "", "pass"
        )
    ]


def variables(site: Site) -> list[Finding]:
    """What the profile hands on and sets."""
    absent = [name for name in site.pass_environment if name not in os.environ]
    if absent:
        hint = f"pass_environment: not set here, so jobs will lack {', '.join(absent)}"
        return [Finding("pass_environment", len(absent), "variables not set", "warn", hint)]
    named = [*site.pass_environment, *site.environment]
    return [Finding("variables", ", ".join(named) or "none beside the basic ones", "", "pass")]


def _fields(line: str) -> dict[str, str]:
    """Return the ``Name=Value`` words of a line of scontrol."""
    return {k: v for k, _, v in (word.partition("=") for word in line.split())}
