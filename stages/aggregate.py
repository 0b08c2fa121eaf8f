"""Put the cells of the grid into tables; a file left over from a dropped cell is ignored, a missing one is an error.

reads   results/cells/…/metrics.json and record.json of every cell of the grid, sweep.csv of its sweeps
writes  results/{study}/runs.csv, summary.csv, summary.json, summary.md, summary.tex, cost.csv, sweep.csv
"""

from ulfine.runner.stage import stage

from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from ulfine.config.aggregate import AggregateConfig
from ulfine.evaluation.aggregate import (
    caveats,
    cost_table,
    headlines,
    latex,
    markdown,
    runs_table,
    summary_table,
    sweep_table,
    with_intervals,
)
from ulfine.files import json_text, new_file, read_csv, read_json
from ulfine.runner.cell import Cell


@stage
def main(config: AggregateConfig) -> None:
    cells = [Cell(**names) for names in config.grid.cells()]
    found = [each.names | read_json(each.metrics) for each in cells]
    runs = runs_table(found)
    records = [metrics | read_json(each.record) for metrics, each in zip(found, cells, strict=True)]
    costs = cost_table(records, config.published_views)
    summary = with_intervals(summary_table(runs), found, config.draws)
    sweeps = sweep_table([(names, read_csv(Cell(**names).sweep)) for names in config.grid.sweeps()])
    named = {"runs": runs, "summary": summary, "cost": costs, "sweep": sweeps}
    tables = {f"{name}.csv": csv(table) for name, table in named.items()}
    said = caveats(summary, costs)
    tables |= {"summary.md": markdown(summary, config.study, said), "summary.tex": latex(summary, config.study, said)}
    tables["summary.json"] = json_text(headlines(summary))
    with ExitStack() as whole:  # tables of one run, or none
        for name, content in tables.items():
            part = whole.enter_context(new_file(Path("results", config.study, name)))
            part.write_text(content, encoding="utf-8", newline="\n")


def csv(table: pd.DataFrame) -> str:
    """A table as CSV; what is unknown is empty."""
    return table.to_csv(index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
