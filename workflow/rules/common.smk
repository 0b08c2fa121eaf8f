"""All the Python of the rules: params.yaml is checked and resolved, and Snakemake learns what is done and right.

Wrong parameters stop here, before any rule, with one line.
"""

import os
import sys
from functools import cache

from ulfine.device import require_not_absent
from ulfine.errors import explained
from ulfine.params.names import NAMES
from ulfine.params.root import load
from ulfine.runner.engines import at_work, begin_run, hold, made_meanwhile, recover, require_same_run
from ulfine.runner.fingerprints import Tree
from ulfine.runner.guard import stop_together
from ulfine.runner.jobs import PARAMS, job
from ulfine.runner.plan import Plan
from ulfine.runner.preflight import checked
from ulfine.runner.reconcile import again, reconcile
from ulfine.runner.resolve import resolved, write

if config:
    sys.exit(f"--config and --configfile are not used here: edit {PARAMS}, which DVC reads as well")

MAIN = workflow.is_main_process  # else the job of a cluster

try:
    if MAIN:
        PARAMETERS, NOTES = checked(PARAMS, here=False)
        for note in NOTES:
            print(note, file=sys.stderr)
        recover()  # so that the same command works again after a kill
        BUSY = at_work()
        if BUSY:
            print(f"{BUSY} is at work here", file=sys.stderr)  # Snakemake's own refusal does not say who
        else:
            FILES = resolved(PARAMETERS)
            write(FILES)
            reconcile(Tree(FILES))
    else:
        require_same_run()
        if made_meanwhile(sys.argv):
            sys.exit(0)
        PARAMETERS = load(PARAMS)
except (ValueError, OSError) as error:
    sys.exit(explained(error))

RATE = workflow.scheduling_settings and workflow.scheduling_settings.max_jobs_per_timespan
if RATE and (RATE.max_jobs, RATE.timespan) == (100, 1):
    # The default, which no run here reaches. With any limit, each look at what is ready leads to one more every second,
    # to the end: hundreds at a time, and half a processor in a grid of hundreds of cells (Snakemake 9.27).
    workflow.scheduling_settings.max_jobs_per_timespan = None

os.environ.update(ULFINE_ENGINE="snakemake")  # a stage that sees this ends with its engine


onstart:
    if MAIN:
        try:
            # not known before; the login node of a cluster needs no GPU, nor does what is only downloaded
            if workflow.local_exec and any(job.resources.get("gpu") for job in workflow.dag.needrun_jobs()):
                require_not_absent(PARAMETERS.runtime.device)
            hold()
            begin_run()
            stop_together()
        except ValueError as error:
            sys.exit(str(error))


STUDY = PARAMETERS.study
CELLS = {name: [cell[name] for cell in PARAMETERS.grid.cells()] for name in NAMES}  # columns, a row for each cell
SWEEPS = {name: [cell[name] for cell in PARAMETERS.grid.sweeps()] for name in NAMES}
THREADS = PARAMETERS.runtime.num_threads
GPU = int(PARAMETERS.runtime.device.startswith("cuda"))
AGAIN = again()
PLAN = Plan(PARAMETERS, Tree(), recorded=MAIN)  # a job of a cluster has got its resources


@cache
def named(stage, **names):
    return job(stage, names)


def forget(stage):
    """A number that changes when Snakemake must make the outputs of a job again, whatever it remembers of them."""
    return lambda wildcards: AGAIN.get(named(stage, **wildcards).address, 0)


def ask(stage, resource):
    """What a scheduler is asked for, from runs that were made and guesses; more at each attempt."""
    return lambda wildcards, attempt: PLAN.asked(named(stage, **wildcards), attempt)[resource]


wildcard_constraints:
    dataset="[^/]+",
    split="[^/]+",
    backbone="[^/]+",
    method="[^/]+",
    seed=r"\d+",
