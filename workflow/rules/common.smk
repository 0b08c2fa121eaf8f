"""All the Python of the rules: the checked parameters, the hashes of the code, and what dvc.yaml declares for a stage.

Wrong parameters stop here, before any rule, with one line.
"""

import os
import sys

from ulfine.check import OK, checked, write_ok
from ulfine.code import write_manifests
from ulfine.device import require_not_absent
from ulfine.errors import explained
from ulfine.jobs import job
from ulfine.pipeline import NAMES, PARAMS, manifest
from ulfine.trust.engines import at_work, hold, recover
from ulfine.trust.guard import stop_together
from ulfine.trust.handover import settle
from ulfine.trust.receipts import ticket

if config:
    sys.exit(f"--config and --configfile are not used here: edit {PARAMS}, which DVC reads as well")

try:
    PARAMETERS, NOTES = checked(PARAMS, here=False)
    MANIFESTS = write_manifests()
    if not OK.exists():  # DVC removes it before a check that fails; were the rule `check` to run, it would hold back others
        write_ok()
    if workflow.is_main_process:
        for note in NOTES:
            print(note, file=sys.stderr)
        recover()  # so that the same command works again after a kill
        BUSY = at_work()
        if BUSY:
            print(f"{BUSY} is at work here", file=sys.stderr)  # Snakemake's own refusal does not say who
        else:
            settle()
except (ValueError, OSError) as error:
    sys.exit(explained(error))

os.environ["ULFINE_ENGINE"] = "snakemake"  # a stage that sees this ends with its engine


onstart:
    if workflow.is_main_process:
        try:
            if workflow.local_exec:  # not known before; a cluster's login node needs no GPU
                require_not_absent(PARAMETERS.runtime.device)
            hold()
            stop_together()
        except ValueError as error:
            sys.exit(str(error))


STUDY = PARAMETERS.study
CELLS = {name: [cell[name] for cell in PARAMETERS.grid.cells()] for name in NAMES}  # columns, a row for each cell
SWEEPS = {name: [cell[name] for cell in PARAMETERS.grid.sweeps()] for name in NAMES}
THREADS = PARAMETERS.runtime.num_threads
GPU = int(PARAMETERS.runtime.device.startswith("cuda"))


def code(stage):
    """The file with the hashes of the code that a stage depends on, for one cell where that differs."""
    return lambda wildcards: str(manifest(stage, dict(wildcards)))


def parameters(stage, **names):
    """The file with the parameters of one cell; new when its outputs would not be what they are."""
    return lambda wildcards: str(ticket(job(stage, dict(wildcards) | names)))


wildcard_constraints:
    dataset="[^/]+",
    setting="[^/]+",
    backbone="[^/]+",
    method="[^/]+",
    seed=r"\d+",
