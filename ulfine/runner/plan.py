"""What the jobs of the grid need: from the records of runs like them, and from guesses where there are none."""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ulfine.data.sources import class_counts
from ulfine.data.splits import wanted_counts
from ulfine.data.store import Counts
from ulfine.files import read_json
from ulfine.params.names import NAMES, NO_BACKBONE
from ulfine.params.root import Params
from ulfine.runner.fingerprints import Tree
from ulfine.runner.guesses import Need, guess
from ulfine.runner.jobs import TRAININGS, Job
from ulfine.runner.provenance import PROVENANCE
from ulfine.runner.states import DONE, states

RECORDS = Path("results/cells")  # of trainings, which git carries
SOURCES = FROM_ALIKE, FROM_OTHERS, GUESSED = ("from runs of the same", "from other runs", "guessed")
HEADER = ["stage", "to run", "done", "time", "of CPUs", "of GPUs", "disk", "memory", "known"]
ALIKE = ("method", "backbone", "dataset", "split")  # what makes two jobs of a stage alike, the most important first
ENOUGH = 3  # of these: another split or seed takes the same
TIME, MEMORY = 3, 1.5  # what a scheduler is asked for, as a multiple of what is expected
MORE_MINUTES, MORE_MB = 10, 500
TIMES = {"s": 1, "min": 60, "h": 3600}
SIZES = {"MB": 1, "GB": 1024, "TB": 1024**2}


class Run(NamedTuple):
    """A job that ran: its configuration, and what it took."""

    config: Mapping[str, Any]
    names: Mapping[str, str]  # of its cell
    usage: Mapping[str, Any]


class Expected(NamedTuple):
    """What a job is expected to take, and which of SOURCES says so."""

    need: Need
    source: str


class Plan:
    """Needs of jobs. Reads no more than names and records, and each once."""

    def __init__(self, params: Params, tree: Tree, *, recorded: bool = True) -> None:
        """recorded: runs that were made correct the guesses."""
        self.params, self.tree, self.recorded = params, tree, recorded
        self._runs = cache(_runs)
        self._pictures = cache(self._pictures)

    def expected(self, job: Job) -> Expected:
        """What a job will take: the guess, times how much longer than theirs the runs most like it took."""
        names = dict(job.names)
        config = self.tree.values(job.config)
        need = guess(job.stage, config, self._seen(job.stage, names))
        shared = [key for key in ALIKE if key in names]
        for number in range(len(shared), -1, -1) if self.recorded else ():
            pattern = tuple((key, value if key in shared[:number] else "*") for key, value in job.names)
            runs = [run for run in self._runs(job.stage, pattern) if _computes_on(run.config) == _computes_on(config)]
            if runs:
                alike = number >= min(ENOUGH, len(shared))
                return Expected(self._corrected(job.stage, need, runs), FROM_ALIKE if alike else FROM_OTHERS)
        return Expected(need, GUESSED)

    def asked(self, job: Job, attempt: int) -> dict[str, int]:
        """What to ask a scheduler for, with headroom, and half as much more at each further attempt: MB, minutes."""
        need, more = self.expected(job).need, (1 + attempt) / 2
        return {
            "mem_mb": ceil((MEMORY * need.memory_mb + MORE_MB) * more),
            "runtime": ceil((TIME * need.seconds / 60 + MORE_MINUTES) * more),
        }

    def _corrected(self, stage: str, need: Need, runs: list[Run]) -> Need:
        pairs = [(run.usage, guess(stage, run.config, self._seen(stage, run.names))) for run in runs]
        corrected = {}
        for key in Need._fields:
            ratios = [usage[key] / getattr(guessed, key) for usage, guessed in pairs if key in usage]
            corrected[key] = getattr(need, key) * (median(ratios) if ratios else 1)
        return Need(**corrected)

    def _seen(self, stage: str, names: Mapping[str, str]) -> int | None:
        """The pictures that a job may see; None if unknown."""
        return self._pictures(names.get("dataset"), names["split"] if stage == "features" else None)

    def _pictures(self, dataset: str | None, split: str | None) -> int | None:
        """The pictures of a data set, or the training pictures of one of its splits."""
        known, meta = self.params.datasets.get(dataset), Path("artifacts/data", dataset or "-", "meta.json")
        if meta.exists():
            values = read_json(meta)
            counts = Counts(values["counts"]["train"], values["unlabeled"])
            tested = sum(values["counts"]["test"])
        else:
            counts, tested = known and class_counts(known.source), 0
        if counts is None:
            return None
        if known is None or split not in known.splits:
            return sum(counts.by_class) + counts.unknown + tested
        wanted = wanted_counts(known.splits[split], counts.by_class, seed=0)  # which moves classes, not their sum
        return sum(counts.unknown if each is None else sum(each) for each in wanted.values())


def table(plan: Plan) -> str:
    """A line for each stage with what is left of it and what that needs, and where the numbers come from."""
    found = states(plan.tree)
    rows, all_open = [HEADER], []
    for stage in dict.fromkeys(state.job.stage for state in found):
        mine = [state for state in found if state.job.stage == stage]
        open_ = [plan.expected(state.job) for state in mine if state.name != DONE]
        rows.append([stage, str(len(open_)), str(len(mine) - len(open_)), *_amounts(open_), _source(open_)])
        all_open += open_
    rows.append(["all", str(len(all_open)), str(len(found) - len(all_open)), *_amounts(all_open), ""])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if any(each.source == GUESSED for each in all_open):
        lines += ["", "guessed: no run of that stage on this kind of device is on record; see ulfine/runner/guesses.py"]
    return "\n".join(lines)


def _amounts(found: list[Expected]) -> list[str]:
    """Time if one job ran after another, of processors, of GPUs; disk; memory of the largest job."""
    needs = [each.need for each in found]
    times = [sum(getattr(need, key) for need in needs) for key in ("seconds", "cpu_seconds", "gpu_seconds")]
    sizes = [sum(need.disk_mb for need in needs), max((need.memory_mb for need in needs), default=0)]
    return [*(_rounded(time, TIMES) for time in times), *(_rounded(size, SIZES) for size in sizes)]


def _rounded(value: float, units: Mapping[str, float]) -> str:
    unit = max((unit for unit in units if value >= units[unit]), key=units.get, default=next(iter(units)))
    number = value / units[unit]
    return f"{number:.1f} {unit}" if number < 10 and unit != next(iter(units)) else f"{number:,.0f} {unit}"


def _source(found: list[Expected]) -> str:
    """How many jobs each source tells of."""
    counts = Counter(each.source for each in found)
    return ", ".join(f"{counts[source]} {source}" for source in SOURCES if counts[source])


def _runs(stage: str, names: tuple[tuple[str, str], ...]) -> list[Run]:
    """The runs on record of a stage whose names are these, `*` being any; of trainings that git alone knows, those."""
    parts = [f"seed{value}" if key == "seed" else value for key, value in names]
    found = []
    for path in PROVENANCE.glob(f"{'/'.join([stage, *parts])}.json"):
        made = read_json(path)
        if made.get("usage"):
            _, *theirs = path.relative_to(PROVENANCE).with_suffix("").parts
            found.append(Run(made["config"], dict(zip(dict(names), theirs, strict=True)), made["usage"]))
    if found or stage not in TRAININGS:
        return found
    if stage == "baseline":
        parts.insert(NAMES.index("backbone"), NO_BACKBONE)
    for path in RECORDS.glob(f"{'/'.join(parts)}/record.json"):
        record = read_json(path)
        usage = {"seconds": record["wall_seconds"], "driver": record["driver"]}
        if not record["driver"]:  # else the memory is that of a GPU
            usage["memory_mb"] = record["peak_memory_mb"]
        found.append(Run(record["parameters"], record["cell"], usage))
    return found


def _computes_on(config: Mapping[str, Any]) -> tuple[str, int]:
    """The kind of device, and the number of threads."""
    runtime = config.get("runtime") or {"device": "cpu", "num_threads": 1}
    return runtime["device"].partition(":")[0], runtime["num_threads"]
