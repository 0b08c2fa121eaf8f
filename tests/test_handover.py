"""What tells how far the grid is, proves it, and hands it from one engine to the other."""

import json
import os
import re
import socket
from pathlib import Path

import pytest

from tests.helpers import project
from tests.helpers.forked import stage
from tests.helpers.project import run, succeeded
from tests.helpers.reruns import copied, rerun
from ulfine.params.base import parsed, read_yaml

FEATURES = "artifacts/features/shapes/tail/tiny/seed0/plain.pooled.npy"
SPLIT = "artifacts/splits/shapes/tail/seed0.json"
SCORE = "results/cells/shapes/tail/none/scratch/seed0/metrics.json"


def ulfine(folder: Path, command: str) -> str:
    return succeeded(run(folder, "ulfine", command)).stdout


def refused(folder: Path, command: str) -> tuple[str, str]:
    done = run(folder, "ulfine", command)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    return done.stdout, done.stderr


def flip(path: Path) -> None:
    """One bit in the middle, at the same size and time."""
    times, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_status_counts_what_is_done_stale_missing_and_failed(by_snakemake, params, tmp_path):
    folder = copied(by_snakemake, tmp_path)
    counts = (
        "data 1, backbone 1, split 1, features 1, train 2, baseline 1, "
        "evaluate 2, evaluate_baseline 1, sweep 1, aggregate 1, report 1"
    )
    first = ulfine(folder, "status")
    assert re.findall(r"^(\w+) +(\d+) done$", first, re.MULTILINE) == re.findall(r"(\w+) (\d+)", counts)
    assert first.startswith("study tiny: 13 jobs\n") and "stale" not in first

    params["methods"]["lp"]["train"] = {"lr": 0.02}
    project.write_params(folder, params)
    (folder / SCORE).unlink()
    run_0 = folder / "artifacts/runs/shapes/tail/tiny/zero_shot/seed0"
    (run_0 / "logits.safetensors").write_bytes(b"cut off")
    failed = stage(folder, "evaluate", **project.CELL, method="zero_shot")
    assert failed.returncode == 1
    text = ulfine(folder, "status")
    assert re.search(r"^evaluate +1 failed, 1 stale$", text, re.MULTILINE)
    assert f"missing: evaluate_baseline@shapes-tail-scratch-0: no {SCORE}\n" in text
    assert "stale: train@shapes-tail-tiny-lp-0: parameters changed: train.lr\n" in text
    assert "stale: evaluate@shapes-tail-tiny-lp-0: after train@shapes-tail-tiny-lp-0\n" in text
    assert f"stale: train@shapes-tail-tiny-zero_shot-0: {run_0.relative_to(folder)} is not what the stage left" in text
    log = "artifacts/logs/evaluate/shapes/tail/tiny/zero_shot/seed0.log"
    assert re.search(rf"^failed: evaluate@shapes-tail-tiny-zero_shot-0: .*truncated.* \({log}\)$", text, re.MULTILINE)
    assert "Traceback" in (folder / log).read_text()


def test_status_says_where_runs_were_trained(by_snakemake, tmp_path):
    folder = copied(by_snakemake, tmp_path)
    here = rf"trained on .+, 1 threads of {re.escape(socket.gethostname())}: "
    assert re.findall(here + r"(\d+)", ulfine(folder, "status")) == ["3"]
    path = folder / "artifacts/provenance/baseline/shapes/tail/scratch/seed0.json"  # as of a run that was pulled
    path.write_text(json.dumps(json.loads(path.read_text()) | {"usage": None}))
    said = ulfine(folder, "status")
    assert re.findall(here + r"(\d+)", said) == ["2"]
    assert re.search(r"trained on .+, 1 threads, elsewhere: 1\n", said)


def test_verify_names_flipped_bytes_and_nothing_else(made):
    assert "all of them are what the stages left" in ulfine(made, "verify")
    for path in (FEATURES, SPLIT):
        flip(made / path)
    (made / "artifacts/data/shapes/more.txt").write_text("more")
    found, line = refused(made, "verify")
    assert [text.split(": ")[:2] for text in found.splitlines()] == [
        ["artifacts/data/shapes/more.txt", "was not there when the stage ended"],
        [FEATURES, "has changed"],
        [SPLIT, "has changed"],
    ]
    assert re.fullmatch(r"\d+ files read: 3 problems\n", line)


def test_verify_goes_by_dvc_lock_where_nothing_else_is_known(by_dvc, tmp_path):
    folder = copied(by_dvc, tmp_path)
    for path in (folder / "artifacts/provenance").rglob("*.json"):
        path.unlink()
    assert not re.search("stale|missing", ulfine(folder, "status"))
    flip(folder / FEATURES)
    assert f"{FEATURES}: has changed" in refused(folder, "verify")[0]


def test_commit_writes_what_snakemake_made_and_nothing_stale(by_snakemake, params, tmp_path):
    folder = copied(by_snakemake, tmp_path)
    assert "13 jobs are in dvc.lock" in ulfine(folder, "commit")
    assert "up to date" in succeeded(run(folder, "dvc", "status")).stdout
    assert rerun(folder, "dvc") == set()
    lock = (folder / "dvc.lock").read_bytes()
    params["methods"]["lp"]["train"] = {"lr": 0.02}
    project.write_params(folder, params)
    found, line = refused(folder, "commit")
    assert line == "not everything is done and right, so nothing is committed\n"
    assert "stale: train@shapes-tail-tiny-lp-0: parameters changed: train.lr" in found
    assert (folder / "dvc.lock").read_bytes() == lock


def test_a_dvc_lock_that_a_kill_cut_off_is_mended(by_dvc, tmp_path):
    folder = copied(by_dvc, tmp_path)
    text = (folder / "dvc.lock").read_text()
    (folder / "dvc.lock").write_text(text[: text.index("split@") + 100])
    assert run(folder, "dvc", "status").returncode != 0
    assert refused(folder, "verify")[1].startswith("dvc.lock: damaged")
    assert "dvc.lock: was damaged; 3 stages could be saved" in ulfine(folder, "preflight")
    assert ulfine(folder, "preflight") == ""
    scores = {"evaluate@shapes-tail-tiny-zero_shot-0", "evaluate@shapes-tail-tiny-lp-0"}
    scores |= {"evaluate_baseline@shapes-tail-scratch-0"}
    assert rerun(folder, "dvc") <= scores | {"aggregate", "report"}  # DVC restores the others from its run-cache
    assert read_yaml(folder / "dvc.lock") == parsed(text, "dvc.lock")


def test_a_dvc_lock_that_is_half_merged_is_left_to_its_users(by_dvc, tmp_path):
    folder = copied(by_dvc, tmp_path)
    text = (folder / "dvc.lock").read_text()
    ours, theirs = text[: text.index("    cmd:")], text[text.index("    cmd:") :]
    (folder / "dvc.lock").write_text(f"{ours}<<<<<<< HEAD\n{theirs}=======\n{theirs}>>>>>>> other\n")
    merged = (folder / "dvc.lock").read_bytes()
    number = len(ours.splitlines()) + 1
    line = f"dvc.lock: line {number} is a mark of a merge; take one side whole (`git checkout --ours dvc.lock`"
    for command in ("verify", "preflight", "status", "commit"):
        assert refused(folder, command)[1].startswith(line)
    assert run(folder, "snakemake", "-n").stderr.startswith(line)
    assert (folder / "dvc.lock").read_bytes() == merged


def test_a_grid_that_dvc_cannot_read_is_explained_before_it_tries(by_dvc, params, tmp_path):
    folder = copied(by_dvc, tmp_path)
    params["grid"]["method"] = "lp"
    project.write_params(folder, params)
    line = refused(folder, "preflight")[1]
    assert re.match(r"params\.yaml: grid\.method = 'lp': .*list", line)
    assert run(folder, "snakemake", "-n").stderr == line


def test_what_is_versioned_names_no_user_and_no_place(made):
    versioned = [path for path in (made / "results").rglob("*") if path.is_file()]
    versioned += [path for path in [made / "dvc.lock"] if path.exists()]
    assert len(versioned) > 5
    for path in versioned:
        text = path.read_text(errors="replace")
        assert str(Path.home()) not in text and "/tmp" not in text and str(made) not in text  # noqa: S108
        assert not re.search(rf"\b{re.escape(os.environ.get('USER', 'root'))}\b", text)


@pytest.mark.parametrize(("seeds", "stages"), [(23, 97), (24, 101)])
def test_preflight_names_the_faster_way_for_large_grids(tmp_path, params, seeds, stages):
    """For each seed split, features, train and evaluate, and five beside them."""
    folder = project.make_project(tmp_path / "project")
    params["grid"] |= {"method": ["lp"], "baseline": [], "sweep": [], "seed": list(range(seeds))}
    project.write_params(folder, params)
    said = ulfine(folder, "preflight")
    expected = f"params.yaml: {stages} stages; DVC rewrites dvc.lock after each of them and gets slow beyond 100. "
    assert said == (f"{expected}Faster: `snakemake --cores 2`, then `ulfine commit`\n" if seeds == 24 else "")
