"""Resolves params.yaml: one configuration for each job, and the hashes of the code it depends on.

A file is rewritten only when its content changes, so that an edit reruns the jobs whose configuration it touches.
"""

from ulfine.threads import RUNTIME

import inspect
from collections.abc import Mapping
from pathlib import Path

from ulfine.config.aggregate import AggregateConfig
from ulfine.config.backbone import BackboneConfig
from ulfine.config.baseline import BaselineConfig
from ulfine.config.data import DataConfig
from ulfine.config.features import FeaturesConfig
from ulfine.config.report import ReportConfig
from ulfine.config.split import SplitConfig
from ulfine.config.sweep import SweepConfig
from ulfine.config.train import TrainConfig
from ulfine.files import write_if_changed
from ulfine.params.root import Params
from ulfine.runner.code import code_hashes
from ulfine.runner.jobs import CONFIG, Job, jobs

CONFIGS = {
    "data": DataConfig,
    "backbone": BackboneConfig,
    "split": SplitConfig,
    "features": FeaturesConfig,
    "train": TrainConfig,
    "baseline": BaselineConfig,
    "sweep": SweepConfig,
    "aggregate": AggregateConfig,
    "report": ReportConfig,
}


def resolved(params: Params) -> dict[Path, dict]:
    """The content of each file that `resolve` writes: configurations of the grid's jobs, and hashes of code."""
    known: dict[tuple, dict] = {}  # jobs that differ in split and seed alone have the same
    configs = {Path(job.config): configuration(params, job, known) for job in jobs() if job.config}
    return {RUNTIME: params.runtime.as_json()} | configs | code_hashes()


def configuration(params: Params, job: Job, known: dict[tuple, dict] | None = None) -> dict:
    """The configuration of a job. known: those of other jobs, by what they have in common."""
    kind, known = CONFIGS[job.stage], {} if known is None else known
    names = {key: name for key, name in job.names if key in inspect.signature(kind.resolve).parameters}
    key = (kind, *names.values())
    if key not in known:
        known[key] = kind.resolve(params, **names).as_json()
    return known[key]


def write(files: Mapping[Path, dict]) -> None:
    """Bring the files up to date, and remove configurations of jobs that the grid no longer has."""
    for path in CONFIG.rglob("*.json"):
        if path not in files:
            path.unlink()
    for path, values in files.items():
        write_if_changed(path, values)
