"""Put the cells of the grid into tables; a file left over from a dropped cell is ignored, a missing one is an error.

reads   results/cells/…/metrics.json and artifacts/records/…json of every cell of the grid
writes  results/{study}/runs.csv, summary.csv, summary.md, cost.csv
"""

from ulfine.stage import stage

from pathlib import Path

import pandas as pd

from ulfine.cell import Cell, cell
from ulfine.evaluation.aggregate import cost_table, markdown, runs_table, summary_table
from ulfine.files import new_file, read_json, write_text


@stage
def main() -> None:
    at = cell("aggregate")
    cells = [Cell("aggregate", names) for names in at.params.grid.cells()]
    runs = runs_table([each.names | read_json(each.metrics) for each in cells])
    costs = cost_table([each.names | read_json(each.record) for each in cells])
    summary = summary_table(runs)
    text = markdown(summary, at.params.study)
    folder = Path("results", at.params.study)
    for name, table in (("runs", runs), ("summary", summary), ("cost", costs)):
        write_table(folder / f"{name}.csv", table)
    write_text(folder / "summary.md", text)


def write_table(target: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV; what is unknown is empty."""
    with new_file(target) as part:
        table.to_csv(part, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
