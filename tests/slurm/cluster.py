"""A real Slurm cluster of three nodes on this machine, for tests; needs root and Debian's packages.

Each node is a network namespace on a bridge with its own hostname, so MPI and Slurm see three
machines. Everything the cluster keeps is below one folder, the configuration included
(``SLURM_CONF``); nothing outside is changed except the bridge and the namespaces, which are taken
down again together with exactly the processes that were started.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

NODES = ("hbn1", "hbn2", "hbn3")
CORES = 4
BRIDGE = "hpcbench0"
CONTROLLER = "10.77.0.254"
PACKAGES = "slurm-wlm slurmdbd munge mariadb-server iproute2 libpmix-dev"
PROGRAMS = (
    "slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mariadb-install-db", "mariadb",
    "sacctmgr", "ip", "nsenter", "unshare",
)  # fmt: skip
START_SECONDS = 90.0

SLURM_CONF = """
ClusterName=hpcbench
SlurmctldHost={host}({controller})
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=15
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=pmix
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldPort=27817
SlurmdPort=27818
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool/%n
SlurmdLogFile={folder}/%n.log
SlurmdTimeout=20
SlurmctldTimeout=30
KillWait=15
MessageTimeout=30
MaxArraySize={max_array_size}
MaxJobCount=20000
JobRequeue=1
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={controller}
AccountingStoragePort=27819
AccountingStoragePass={folder}/munge/socket
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=3,sched_interval=5,batch_sched_delay=0
PropagateResourceLimits=NONE
{nodes}
PartitionName=batch Nodes={names} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes={names} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""

DBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdAddr={controller}
DbdPort=27819
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=27820
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
"""


def what_is_missing() -> str:
    """Return why no cluster can be started here, or an empty string."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    absent = [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]
    libraries = subprocess.run(
        ["ldconfig", "-p"], env={"PATH": _path()}, capture_output=True, text=True, check=False
    )
    if "libpmix.so " not in libraries.stdout:
        absent.append("libpmix.so")
    if absent:
        return f"missing: {', '.join(absent)}; apt-get install --no-install-recommends {PACKAGES}"
    return _what_is_forbidden()


def _what_is_forbidden() -> str:
    """Return why root may not make networks here, as in most containers, or an empty string."""
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        return f"{BRIDGE} is there: another cluster is up; or was killed: ip link delete {BRIDGE}"
    try:
        _do("unshare", "--net", "--uts", "--mount", "true")
        _do("ip", "link", "add", f"{BRIDGE}try", "type", "bridge")
        _do("ip", "link", "delete", f"{BRIDGE}try")
    except RuntimeError as error:
        return f"no network namespaces: {error}".strip()
    return ""


class Cluster:
    """The cluster; a context manager that starts it and takes it down."""

    def __init__(self, folder: Path, max_array_size: int = 401) -> None:
        self.folder = folder.resolve()
        self.max_array_size = max_array_size
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._made: list[Sequence[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which Slurm's commands find this cluster."""
        return {**os.environ, "PATH": _path(), "SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> "Cluster":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def call(self, *argv: str, check: bool = True) -> str:
        """Run one of Slurm's commands and return its output."""
        done = subprocess.run(
            argv, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{argv}: {done.stderr or done.stdout}")
        return done.stdout

    def stop_node(self, node: str) -> None:
        """Kill a node's slurmd and every process of its jobs, as a power failure would."""
        inside = self._processes_of(node)
        for process in inside:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait()

    def start_node(self, node: str) -> None:
        """Start a node's slurmd in its namespaces: network, hostname and mounts of its own."""
        private = self.folder / "private" / node
        private.mkdir(parents=True, exist_ok=True)
        script = (
            f"hostname {node} && mount --bind '{private}' /var/tmp && "
            f"mount --bind '{self.folder}/hosts' /etc/hosts && "
            f"exec slurmd -D -N {node} -f '{self.folder}/slurm.conf'"
        )
        command = ["nsenter", f"--net=/run/netns/{node}", "unshare", "-u", "-m", "sh", "-c", script]
        self._spawn(node, command, {"TMPDIR": "/var/tmp"})

    def wait_for_nodes(self) -> None:
        """Wait until every node takes jobs."""
        self._until(
            lambda: (
                self.call("sinfo", "--noheader", "--Node", "--format=%T", check=False)
                .split()
                .count("idle")
                >= len(NODES)
            ),
            "nodes to become idle",
        )

    def stop(self) -> None:
        """End what was started, newest first, and remove what was made."""
        for node in NODES:
            for process in self._processes_of(node):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()
        for command in reversed(self._made):
            subprocess.run(command, check=False, capture_output=True)
        self._made.clear()

    def _start(self) -> None:
        for name in ("munge", "state", "spool", "database", "private"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        self._network()
        self._write_configuration()
        self._start_munge()
        self._start_database()
        self._spawn("slurmdbd", ["slurmdbd", "-D"])
        self._until(lambda: _accepts(27819, CONTROLLER), "slurmdbd to listen")
        self.call("sacctmgr", "--immediate", "add", "cluster", "hpcbench")
        self._spawn("slurmctld", ["slurmctld", "-D", "-f", str(self.folder / "slurm.conf")])
        for node in NODES:
            self.start_node(node)
        self.wait_for_nodes()

    def _network(self) -> None:
        self._make(
            ["ip", "link", "add", BRIDGE, "type", "bridge"], ["ip", "link", "delete", BRIDGE]
        )
        _do("ip", "address", "add", f"{CONTROLLER}/24", "dev", BRIDGE)
        _do("ip", "link", "set", BRIDGE, "up")
        for number, node in enumerate(NODES, 1):
            self._make(["ip", "netns", "add", node], ["ip", "netns", "delete", node])
            outside = f"{node}out"
            self._make(
                ["ip", "link", "add", outside, "type", "veth", "peer", "eth0", "netns", node],
                ["ip", "link", "delete", outside],
            )
            _do("ip", "link", "set", outside, "master", BRIDGE, "up")
            _do("ip", "-n", node, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            _do("ip", "-n", node, "link", "set", "eth0", "up")
            _do("ip", "-n", node, "link", "set", "lo", "up")

    def _write_configuration(self) -> None:
        host = socket.gethostname()
        nodes = "\n".join(
            f"NodeName={node} NodeAddr=10.77.0.{number} CPUs={CORES} RealMemory=2000 State=UNKNOWN"
            for number, node in enumerate(NODES, 1)
        )
        (self.folder / "slurm.conf").write_text(
            SLURM_CONF.format(
                host=host,
                controller=CONTROLLER,
                folder=self.folder,
                nodes=nodes,
                names=",".join(NODES),
                max_array_size=self.max_array_size,
            )
        )
        self._password = secrets.token_hex(16)
        database = self.folder / "slurmdbd.conf"
        database.touch(mode=0o600)
        database.write_text(
            DBD_CONF.format(
                folder=self.folder, host=host, controller=CONTROLLER, password=self._password
            )
        )
        (self.folder / "mpi.conf").write_text("PMIxCliTmpDirBase=/var/tmp\n")
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        names = "".join(f"10.77.0.{n} {node}\n" for n, node in enumerate(NODES, 1))
        hosts = f"127.0.0.1 localhost\n{CONTROLLER} {host}\n{names}"
        (self.folder / "hosts").write_text(hosts)

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        key = folder / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        for path in (folder, key):
            shutil.chown(path, "munge", "munge")
        folder.chmod(0o755)
        options = [
            f"--key-file={key}", f"--socket={folder}/socket", f"--pid-file={folder}/pid",
            f"--log-file={folder}/log", f"--seed-file={folder}/seed",
        ]  # fmt: skip
        # Its parent folders belong to a test, hence --force.
        command = ["munged", "--foreground", "--force", *options]
        self._spawn("munge", command, user="munge")
        self._until((folder / "socket").exists, "munged")

    def _start_database(self) -> None:
        data = self.folder / "database"
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root"]
        _do(*install, "--auth-root-authentication-method=socket")
        server = shutil.which("mariadbd", path=_path()) or "mariadbd"
        where = f"--socket={self.folder}/database.sock"
        options = [f"--datadir={data}", where, "--port=27820", "--bind-address=127.0.0.1"]
        options += ["--innodb-buffer-pool-size=64M", "--skip-log-bin", "--user=root"]
        self._spawn("mariadb", [server, "--no-defaults", *options])
        self._until(lambda: _accepts(27820), "the database")
        statements = (
            "CREATE DATABASE slurm;"
            f"CREATE USER slurm@'%' IDENTIFIED BY '{self._password}';"
            f"CREATE USER slurm@localhost IDENTIFIED BY '{self._password}';"
            "GRANT ALL ON slurm.* TO slurm@'%'; GRANT ALL ON slurm.* TO slurm@localhost;"
        )
        _do("mariadb", "--no-defaults", where, "--user=root", f"--execute={statements}")

    def _spawn(
        self,
        name: str,
        command: Sequence[str],
        further: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        with (self.folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                command,
                env={**self.environment, **(further or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=user,
            )

    def _make(self, command: Sequence[str], undo: Sequence[str]) -> None:
        _do(*command)
        self._made.append(undo)

    def _until(self, condition: object, what: str) -> None:
        assert callable(condition)
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            for name, daemon in self._daemons.items():
                if daemon.poll() is not None:
                    raise RuntimeError(f"{name} ended: {self._log(name)}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited {START_SECONDS:.0f} s for {what}")
            time.sleep(0.2)

    def _log(self, name: str) -> str:
        texts = [
            path.read_text(errors="replace")[-1500:]
            for path in (self.folder / f"{name}.out", self.folder / f"{name}.log")
            if path.exists()
        ]
        return "\n".join(texts)

    def _processes_of(self, node: str) -> list[psutil.Process]:
        """Return every process inside a node's network namespace."""
        try:
            wanted = Path(f"/run/netns/{node}").stat().st_ino
        except FileNotFoundError:
            return []
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{process.pid}/ns/net").stat().st_ino == wanted:
                    found.append(process)
        return found


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _do(*command: str) -> None:
    done = subprocess.run(
        command, env={**os.environ, "PATH": _path()}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")


def _accepts(port: int, host: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def main() -> None:
    """Keep a cluster up until Ctrl-C or SIGTERM: ``python tests/slurm/cluster.py FOLDER``."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), Cluster(Path(sys.argv[1])) as cluster:
        print(f"export SLURM_CONF={cluster.folder}/slurm.conf", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
