"""All the Python of the rules: the checked parameters, and what dvc.yaml declares for a stage.

Wrong parameters stop here, before any rule, with one line.
"""

import sys

from ulfine.check import checked
from ulfine.errors import explained
from ulfine.pipeline import PARAMS, code, resolved

if config:
    sys.exit(f"--config and --configfile are not used here: edit {PARAMS}, which DVC reads as well")

try:
    PARAMETERS = checked(PARAMS)
except (ValueError, OSError) as error:
    sys.exit(explained(error))

STUDY = PARAMETERS.study
GRID = PARAMETERS.grid.model_dump()
THREADS = PARAMETERS.runtime.num_threads


def parameters(stage):
    """The file with the parameters of one cell, rewritten when one of them changes."""
    return lambda wildcards: str(resolved(stage, dict(wildcards)))


wildcard_constraints:
    dataset="[^/]+",
    setting="[^/]+",
    backbone="[^/]+",
    method="[^/]+",
    seed=r"\d+",
