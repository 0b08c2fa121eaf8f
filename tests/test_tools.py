"""What DVC, Snakemake and a terminal show of a study, as docs/tools.md says."""

import json
import re
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from tests.helpers import project
from tests.helpers.project import ROOT, run, succeeded
from tests.helpers.reruns import commit, copied, rerun
from ulfine import progress
from ulfine.evaluation.aggregate import headlines, short_names
from ulfine.locks import alone
from ulfine.runner import watch
from ulfine.runner.provenance import LOGS, PROGRESS
from ulfine.training.trackers import require_installed, tracked

ROW = {"step": 10, "lr": 0.1, "loss": 1.5, "pl_coverage": 0.25, "pl_accuracy": None}
CELL = {"dataset": "shapes", "split": "tail", "method": "lp", "seed": 3}
PARAMETERS = {"train": {"lr": 0.1, "losses": {"labeled": 1}}, "classes": ["a", "b"], "paf": None}


def test_metrics_are_the_headlines_of_the_study_and_nothing_else(by_dvc):
    found = json.loads(succeeded(run(by_dvc, "dvc", "metrics", "show", "--json")).stdout)
    summary = pd.read_csv(by_dvc / "results/tiny/summary.csv").set_index("method")
    assert list(found[""]["data"]) == ["results/tiny/summary.json"]
    shown = found[""]["data"]["results/tiny/summary.json"]["data"]
    assert list(shown) == ["accuracy", "tail"]
    assert shown["accuracy"] == {name: round(value, 4) for name, value in summary["accuracy_mean"].items()}


def test_what_changed_and_what_it_did_is_told_against_the_last_commit(by_dvc, params, tmp_path):
    folder = copied(by_dvc, tmp_path)
    commit(folder)
    params["methods"]["lp"]["train"] = {"lr": 0.5}
    project.write_params(folder, params)
    ran = rerun(folder, "dvc")
    told = {
        what: json.loads(succeeded(run(folder, "dvc", what, "diff", "--json")).stdout) for what in ("params", "metrics")
    }
    assert told["params"] == {"params.yaml": {"methods.lp.train.lr": {"old": None, "new": 0.5}}}
    (changed,) = told["metrics"].values()
    assert {name.split(".")[1] for name in changed} == {"lp"} and "train@shapes-tail-tiny-lp-0" in ran
    succeeded(run(folder, "dvc", "plots", "diff", "HEAD"))
    page = (folder / "dvc_plots/index.html").read_text()
    assert '"rev": "HEAD"' in page and '"rev": "workspace"' in page


@pytest.mark.parametrize(
    ("made_by", "command", "shown"),
    [
        ("by_dvc", "dvc dag --mermaid train@shapes-tail-tiny-lp-0", "flowchart TD"),
        ("by_dvc", "ulfine plan", "study tiny, on cpu with 1 threads"),
        ("by_dvc", "ulfine watch", "nothing is at work here"),
        ("by_snakemake", "snakemake --rulegraph", "digraph snakemake_dag"),
        ("by_snakemake", "snakemake --summary", "results/tiny/report.html"),
    ],
)
def test_the_engines_show_their_graphs_and_states(request, made_by, command, shown):
    done = run(request.getfixturevalue(made_by), *command.split())
    assert done.returncode == 0 and shown in done.stdout, done.stderr


def test_plots_are_a_page_that_asks_no_server(by_dvc, tmp_path):
    folder = copied(by_dvc, tmp_path)
    succeeded(run(folder, "ulfine", "preflight"))
    said = succeeded(project.run_offline(folder, "dvc", "plots", "show"))
    page = (folder / "dvc_plots/index.html").read_text()
    drawn = re.findall(r'<div id = "(.*?)"', page)
    assert drawn[:5] == ["loss", "pseudo-labels_kept", "pseudo-labels_right", "recall", "reliability"]
    assert len(drawn) == 6 and drawn[5].endswith("frozen_seed0_sweep_csv")
    assert not re.search(r'src="|https://cdn', page) and "vegaEmbed" in page
    assert "ERROR" not in said.stderr
    history = pd.read_csv(folder / "artifacts/runs/shapes/tail/tiny/lp/seed0/history.csv")
    training = pd.read_csv(folder / "results/tiny/plots/training.csv").set_index("cell")
    assert training.loc["lp", "loss"].tolist() == pytest.approx(history["loss"].tolist())


def test_cells_are_named_by_what_differs():
    one = {"dataset": "d", "split": "s", "backbone": "b", "method": "lp"}
    assert short_names([one, one | {"method": "lft"}, one | {"backbone": "none", "method": "scratch"}]) == [
        "lp", "lft", "scratch",
    ]  # fmt: skip
    assert short_names([one, one | {"split": "t"}]) == ["s lp", "t lp"]
    table = pd.DataFrame([one | {"accuracy_mean": 0.123456, "acc_tail_mean": None}])
    assert headlines(table) == {"accuracy": {"lp": 0.1235}, "tail": {}}


def test_snakemake_reports_the_study_with_captions(by_snakemake, tmp_path):
    folder = copied(by_snakemake, tmp_path)
    succeeded(project.run_offline(folder, "snakemake", "--report", "report.html"))
    page = (folder / "report.html").read_text()
    for shown in (
        "The page of the study: verdicts",
        "A row for each run: accuracy",
        "A figure of the page",
        "summary.csv",
    ):
        assert shown in page


def test_snakemakes_linter_minds_nothing(by_snakemake):
    assert "Congratulations" in succeeded(run(by_snakemake, "snakemake", "--lint")).stderr


def test_the_notebook_runs_on_another_study(trained):
    notebook = nbformat.read(ROOT / "docs/results.ipynb", as_version=4)
    (start,) = [cell for cell in notebook.cells if "STUDY, CELL = " in cell.source]
    start.source = re.sub(r"STUDY, CELL = .*", 'STUDY, CELL = "tiny", "shapes/tail/tiny/ulfine/seed0"', start.source)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": trained}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2
    (said,) = [output["text"] for output in shown if "text" in output]  # and nothing on stderr
    from_logits, in_table = re.fullmatch(r"fused: ([\d.]+) %, in runs.csv ([\d.]+) %\n", said).groups()
    assert from_logits == in_table


def test_the_notebook_shows_the_committed_results():
    notebook = nbformat.read(ROOT / "docs/results.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    runs = pd.read_csv(ROOT / "results/default/runs.csv")
    for method, mean in runs.groupby("method")["accuracy"].mean().items():
        assert re.search(rf"^{method} +{100 * mean:.1f} ", outputs[0]["data"]["text/plain"], re.MULTILINE), method


def test_progress_of_a_job_is_in_its_log_and_in_a_file_while_it_lasts(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", -1)
    lines, file = [], tmp_path / "job.json"
    with progress.followed(lines.append, file, "train@x"):
        assert json.loads(file.read_text()) == {"job": "train@x"}
        with progress.progress(200, "train") as bar:
            bar.set_postfix_str("step 1/4, loss 0.500", refresh=False)
            bar.update(50)
            state = json.loads(file.read_text())
            bar.start_t -= 20  # so long that lines are due
            bar.refresh()
    assert state["job"] == "train@x" and (state["done"], state["total"], state["unit"]) == (50, 200, "images")
    assert state["rate"] > 0 and state["said"] == "step 1/4, loss 0.500"
    assert "50/200" in lines[0] and "step 1/4, loss 0.500" in lines[0] and "\r" not in lines[0]
    assert not file.exists()


def test_watch_shows_what_runs_and_not_what_a_killed_job_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("killed", "running"):
        (PROGRESS / "train").mkdir(parents=True, exist_ok=True)
        state = {"job": name, "what": "train", "done": 50, "total": 200, "unit": "images", "rate": 10, "said": "step 1"}
        (PROGRESS / f"train/{name}.json").write_text(json.dumps(state))
    with alone(LOGS / "train/running.log", "process 1"):
        assert [each["job"] for each in watch.running()] == ["running"]
        assert watch._amounts(next(watch.running())) == ("train 25%", "10 images", "0:00:15", "step 1")


def test_trackers_are_not_imported_unless_asked_for():
    code = "import stages.train, stages.baseline, sys; print({'mlflow', 'dvclive', 'tensorboard'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_tensorboard_gets_the_rows(tmp_path, monkeypatch):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.chdir(tmp_path)
    with tracked("tensorboard", CELL, PARAMETERS) as tell:
        tell(ROW)
        tell(ROW | {"step": 20, "loss": 1.0})
    events = accumulator.EventAccumulator("artifacts/trackers/tensorboard/shapes/tail/lp/seed3").Reload()
    assert sorted(events.Tags()["scalars"]) == ["loss", "lr", "pl_coverage"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 1.5), (20, 1.0)]


def test_dvclive_gets_the_rows(tmp_path, monkeypatch):
    pytest.importorskip("dvclive")
    monkeypatch.chdir(tmp_path)
    with tracked("dvclive", CELL, PARAMETERS) as tell:
        tell(ROW)
        tell(ROW | {"step": 20, "loss": 1.0})
    folder = tmp_path / "artifacts/trackers/dvclive/shapes/tail/lp/seed3"
    table = pd.read_csv(folder / "plots/metrics/loss.tsv", sep="\t")
    assert table[["step", "loss"]].to_numpy().tolist() == [[10, 1.5], [20, 1.0]]
    assert "train.lr: 0.1" in (folder / "params.yaml").read_text().replace("train:\n  lr", "train.lr")


def test_mlflow_gets_the_rows(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{tmp_path}/runs")
    with tracked("mlflow", CELL, PARAMETERS) as tell:
        tell(ROW)
        tell(ROW | {"step": 20, "loss": 1.0})
    (found,) = mlflow.search_runs(output_format="list")
    assert found.info.run_name == "shapes/tail/lp/seed3" and found.data.params["train.losses.labeled"] == "1"
    history = mlflow.MlflowClient().get_metric_history(found.info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == [(10, 1.5), (20, 1.0)]


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr("ulfine.training.trackers.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"train.tracker = 'mlflow': needs a package .*: pip install mlflow"):
        require_installed("mlflow")
    require_installed("none")
