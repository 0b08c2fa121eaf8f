"""Reading a grid of 300 cells, whether it is done or its parameters are wrong, takes seconds (benchmarks/grid.py).

The limits are seconds on a machine with nothing else to do. Twice as much is allowed, and of CPU time: wall time says
little while other tests run beside, and even the same instructions then take up to twice the CPU time.
"""

import re

import pytest

from benchmarks import grid
from tests.helpers import project

SEEDS = 100
LOADED = 2

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """All 706 stages made, with provenance and in dvc.lock."""
    folder = tmp_path_factory.mktemp("grid")
    grid.make_one(folder)
    project.write_params(folder, grid.with_seeds(SEEDS))
    grid.fill(folder)
    grid.timed(folder, *grid.COMMIT)
    return folder


@pytest.mark.parametrize(
    ("command", "limit", "said"),
    [
        (grid.STATUS, 2, "study tiny: 705 jobs"),
        (grid.DRY, 5, "Nothing to be done"),
        (grid.DVC_STATUS, 10, "Data and pipelines are up to date."),
    ],
    ids=["ulfine status", "snakemake", "dvc status"],
)
def test_a_grid_that_is_done_is_seen_to_be(done, command, limit, said):
    taken = grid.timed(done, *command)
    assert said in taken.text
    assert taken.cpu < LOADED * limit


@pytest.mark.parametrize("mistake", grid.WRONG)
@pytest.mark.parametrize(
    ("command", "limit"),
    [(grid.PREFLIGHT, 5), (grid.SNAKEMAKE, 5), (grid.REPRO, 8)],  # DVC reads dvc.lock twice before it runs anything
    ids=["ulfine preflight", "snakemake", "dvc repro"],
)
def test_wrong_parameters_are_told_early(done, mistake, command, limit):
    edit, said = grid.WRONG[mistake]
    params = grid.with_seeds(SEEDS)
    grid.write_wrong(done, params, edit)
    try:
        taken = grid.timed(done, *command, said=said)
    finally:
        project.write_params(done, params)
    assert taken.cpu < LOADED * limit
    if command == grid.REPRO:
        assert re.findall(r"^(?:Running s|S)tage '(\S+)'", taken.text, re.MULTILINE) == ["resolve"]
