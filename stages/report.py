"""Test the paper's claims on the runs of the study, draw its figures, and write the page that shows them.

reads   the tables of the study; results/cells/…/metrics.json and record.json of its grid; assets/published.csv;
        CITATION.cff; of what these files have the hashes of, artifacts/runs/…, artifacts/splits/… and artifacts/data/…
writes  results/{study}/claims.json, results/{study}/figures/, results/{study}/plots/, results/{study}/report.html
"""

from ulfine.runner.stage import stage

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pandas as pd

from ulfine.config.report import ReportConfig
from ulfine.data.store import open_store
from ulfine.evaluation.claims import verdicts
from ulfine.evaluation.gallery import gallery, save
from ulfine.evaluation.loaded import Loaded
from ulfine.evaluation.page import rendered
from ulfine.evaluation.pictures import Shown, shown
from ulfine.evaluation.plots import plots
from ulfine.evaluation.report import Study, parts
from ulfine.files import new_file, new_folder, read_json, write_json
from ulfine.params.base import read_yaml
from ulfine.params.grid import Grid
from ulfine.params.names import NO_BACKBONE
from ulfine.runner.cell import Cell

CITATION, PUBLISHED = Path("CITATION.cff"), Path("assets/published.csv")


@stage
def main(config: ReportConfig) -> None:
    folder = Path("results", config.study)
    options, grid = config.claims, config.grid
    tasks = tasks_of(grid)
    require_runs(tasks)
    claims = verdicts(tasks, options)
    study = Study(
        name=config.study,
        tasks=tasks,
        tables={name: pd.read_csv(folder / f"{name}.csv") for name in ("runs", "summary", "cost", "sweep")},
        claims=claims,
        families=options.methods(),
        catalogue=config.methods,
        classes={name: read_json(Path("artifacts/data", name, "meta.json"))["classes"] for name in grid.dataset},
        samples=list(samples(grid, config.page.pictures)),
        published=pd.read_csv(PUBLISHED, keep_default_na=False),
        citation=read_yaml(CITATION),
    )
    with ExitStack() as whole:  # of one run, or nothing
        figures, plotted = (whole.enter_context(new_folder(folder / name)) for name in ("figures", "plots"))
        page, verdict = (whole.enter_context(new_file(folder / name)) for name in ("report.html", "claims.json"))
        drawn = list(gallery(study))
        save(drawn, figures)
        page.write_text(rendered(study.name, parts(study, drawn, figures)), encoding="utf-8", newline="\n")
        write_json(verdict, claims)
        cells = {tuple(run.names.items()): run for _, runs in tasks for run in runs}  # baselines are in several tasks
        for name, table in plots(list(cells.values())).items():
            table.to_csv(plotted / f"{name}.csv", index=False, lineterminator="\n")


def samples(grid: Grid, pictures: int) -> Iterator[tuple[str, list[Shown]]]:
    """Pictures of the first seed of each split."""
    for dataset, split in product(grid.dataset, grid.split):
        at = Cell(dataset=dataset, split=split, seed=grid.seed[0])
        rows = shown(open_store(at.data), read_json(at.split), pictures)
        yield f"{dataset}, {split}, seed {grid.seed[0]}", rows


def require_runs(tasks: list[tuple[dict[str, str], list[Loaded]]]) -> None:
    """Refuse to draw where scores came with git and the runs did not.

    Raises:
        FileNotFoundError: a run is not here.
    """
    for _, runs in tasks:
        for run in runs:
            if not run.folder.is_dir():
                raise FileNotFoundError(
                    f"{run.folder}: not here, but figures need it; `dvc pull` or `dvc repro` brings it"
                )


def tasks_of(grid: Grid) -> list[tuple[dict[str, str], list[Loaded]]]:
    """The runs of the grid by data set, split and backbone; baselines, which have none, are with each."""
    found: dict[tuple, list[Loaded]] = {}
    for names in grid.cells():
        at = Cell(**names)
        backbones = grid.backbone or [NO_BACKBONE] if names["backbone"] == NO_BACKBONE else [names["backbone"]]
        for backbone in backbones:
            task = (names["dataset"], names["split"], backbone)
            found.setdefault(task, []).append(Loaded(names, at.metrics, at.record, at.run))
    return [(dict(zip(("dataset", "split", "backbone"), task, strict=True)), runs) for task, runs in found.items()]


if __name__ == "__main__":
    main()
