"""A Slurm of one node on this machine, with two pretended GPUs: real daemons, as root, without systemd."""

import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

from tests.helpers.processes import alive, free_port, wait

NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "mknod")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr")
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={controller}
SlurmdPort={node}
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why there can be no Slurm here; None when there can."""
    absent = [name for name in NEEDED if not shutil.which(name)]
    if absent or os.getuid():
        return f"needs root, and {', '.join(NEEDED)} (apt-get install slurm-wlm munge)"
    return None


class Slurm:
    """Daemons in `folder`; its clients, as found under `environment`, know of no other Slurm."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.conf = folder, folder / "slurm.conf"
        for name in ("state", "spool", "bin"):
            (folder / name).mkdir(parents=True)
        ports = {"controller": free_port(), "node": free_port()}
        self.conf.write_text(CONF.format(host=socket.gethostname(), folder=folder, **ports))
        for number in range(2):  # Slurm wants a device; this one is /dev/null by another name
            subprocess.run(["mknod", str(folder / f"gpu{number}"), "c", "1", "3"], check=True)
        (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")
        for name in CLIENTS:  # Snakemake's plugin removes SLURM_CONF from the environment of a job
            client = folder / "bin" / name
            client.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {shutil.which(name)} "$@"\n')
            client.chmod(0o755)
        self.environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}

    def start(self) -> None:
        Path("/run/munge").mkdir(exist_ok=True)
        shutil.chown("/run/munge", "munge")
        if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode:
            subprocess.run(["su", "-s", "/bin/sh", "munge", "-c", "munged"], check=True)
        self.daemon("slurmctld")
        self.daemon("slurmd")
        wait(lambda: self("sinfo", "-h", "-o", "%T").strip() == "idle")

    def daemon(self, name: str) -> None:
        subprocess.run([name, "-f", str(self.conf)], check=True, capture_output=True)

    def restart_controller(self) -> None:
        self.kill("slurmctld")
        self.daemon("slurmctld")

    def kill(self, name: str) -> None:
        pid = self.folder / f"{name}.pid"
        with suppress(OSError, psutil.NoSuchProcess):
            daemon = psutil.Process(int(pid.read_text()))
            daemon.terminate()
            wait(lambda: not alive(daemon))

    def stop(self) -> None:
        self("scancel", "--user=root")
        for name in ("slurmctld", "slurmd"):
            self.kill(name)

    def __call__(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout

    def jobs(self) -> list[list[str]]:
        """Number, state and comment (rule and wildcards) of each job that runs or waits."""
        lines = self("squeue", "-h", "-r", "-o", "%i|%T|%k").splitlines()
        return [line.split("|") for line in lines]
