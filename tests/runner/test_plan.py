"""What jobs are expected to need, against figures worked out by hand and runs that were made."""

import json
from pathlib import Path

import pytest
import yaml

from tests.helpers.project import ROOT
from ulfine.data.splits import decaying_counts
from ulfine.params.root import params_of
from ulfine.runner import guesses
from ulfine.runner.fingerprints import Tree
from ulfine.runner.guesses import Need, guess
from ulfine.runner.jobs import jobs
from ulfine.runner.plan import FROM_ALIKE, FROM_OTHERS, GUESSED, Plan
from ulfine.runner.resolve import resolved

CPU = {"device": "cpu", "num_threads": 2}
TRAIN = {"steps": 100, "batch_size": 10, "unlabeled_ratio": 1}
TOWER = {"model": "ViT-B-16-quickgelu", "resolution": 224}


def config(tune: str, **values) -> dict:
    return {"method": {"tune": tune}, "train": TRAIN, "backbone": TOWER, "runtime": CPU} | values


def test_a_training_takes_the_operations_of_its_pictures():
    # 100 steps of 10 labeled, 10 weak, 10 strong; adapters need two passes' worth; 2,000 pictures are scored
    expected = 3 + (3000 * 2 + 2000) * 35 / (25 * 2)
    found = guess("train", config("adapters"), 2000)
    assert found.seconds == pytest.approx(expected) and found.cpu_seconds == pytest.approx(2 * expected)
    assert found.gpu_seconds == 0 and found.memory_mb == 6000


def test_on_a_gpu_seconds_are_those_of_the_gpu():
    found = guess("train", config("all", runtime={"device": "cuda:1", "num_threads": 8}), 2000)
    assert found.seconds == found.gpu_seconds == pytest.approx(3 + (3000 * 3 + 2000) * 35 / 40_000)


@pytest.mark.parametrize(("views", "operations"), [(None, 0), ("fresh", 3000 + 2000)])
def test_a_classifier_on_frozen_features_needs_the_tower_for_fresh_views_alone(views, operations):
    found = guess("train", config("head", method={"tune": "head", "views": views}), 2000)
    assert found.seconds == pytest.approx(3 + operations * 35 / 50)


def test_a_sweep_is_as_many_trainings_as_it_has_settings():
    one = guess("train", config("all"), 2000).seconds - 3
    found = guess("sweep", config("all", sweep={"tower_lr": [0.1, 0.2], "train.warmup": [0, 0.1, 0.2]}), 2000)
    assert found.seconds == pytest.approx(3 + 6 * one)


def test_features_take_every_view_once_and_side_counts_squared():
    views = {"augmentation": {"views": {"weak": 2, "strong": 2}}, "backbone": TOWER | {"resolution": 448}}
    found = guess("features", views | {"runtime": CPU}, 100)
    assert found.seconds == pytest.approx(3 + 100 * 5 * 4 * 35 / 50)
    assert found.disk_mb == pytest.approx(100 * 5 * guesses.VALUES * 4 / 2**20)


def test_features_are_of_the_pictures_of_their_split(place):
    """50 labeled and 400 unlabeled of the first class, a twentieth of the last, and 50 of each for validation."""
    job = next(job for job in jobs() if job.stage == "features")
    labeled, unlabeled = sum(decaying_counts(50, 20, 10)), sum(decaying_counts(400, 20, 10))
    config = place().tree.values(job.config)
    assert place().expected(job).need == guess("features", config, labeled + unlabeled + 10 * 50)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with params.yaml, dvc.yaml and no result; gives its plan."""
    for name in ("params.yaml", "dvc.yaml", "assets", "ulfine", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    params = params_of(yaml.safe_load(Path("params.yaml").read_text()), "")
    return lambda: Plan(params, Tree(resolved(params)))


def job_of(method: str, seed: str):
    return next(job for job in jobs() if job.stage == "train" and {("method", method), ("seed", seed)} <= {*job.names})


def ran(job, configuration: dict, **usage) -> None:
    path = job.file(Path("artifacts/provenance"), ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"config": configuration, "usage": usage}))


def test_runs_of_the_same_correct_the_guess_and_runs_of_another_method_do_so_before_there_are_any(place):
    plan = place()
    lft, ulfine = job_of("lft", "0"), job_of("ulfine", "0")
    guessed = plan.expected(lft)
    assert guessed.source == GUESSED
    ran(job_of("lft", "1"), plan.tree.values(lft.config), seconds=4 * guessed.need.seconds, memory_mb=300)
    plan = place()
    found = plan.expected(lft)
    assert found.source == FROM_ALIKE
    assert found.need == guessed.need._replace(seconds=pytest.approx(4 * guessed.need.seconds), memory_mb=300)
    other, before = plan.expected(ulfine), guess("train", plan.tree.values(ulfine.config), 5000)
    assert other.source == FROM_OTHERS and other.need.seconds == pytest.approx(4 * before.seconds)


def test_a_run_of_fewer_steps_is_scaled_and_one_on_another_device_says_nothing(place):
    plan = place()
    lft = job_of("lft", "0")
    now = plan.tree.values(lft.config)
    short = now | {"train": now["train"] | {"steps": now["train"]["steps"] // 2}}
    guessed = guess("train", short, 5000)
    ran(job_of("lft", "1"), short, seconds=2 * guessed.seconds)
    assert place().expected(lft).need.seconds == pytest.approx(2 * guess("train", now, 5000).seconds)
    ran(job_of("lft", "1"), now | {"runtime": {"device": "cuda", "num_threads": 2}}, seconds=1)
    assert place().expected(lft).source == GUESSED


def test_a_scheduler_is_asked_for_more_than_is_expected_and_at_each_attempt_for_more(place, monkeypatch):
    plan = place()
    monkeypatch.setattr(Plan, "expected", lambda *_: type("Found", (), {"need": Need(600, 0, 0, 1000, 0)}))
    assert plan.asked(job_of("lft", "0"), 1) == {"mem_mb": 2000, "runtime": 40}
    assert plan.asked(job_of("lft", "0"), 2) == {"mem_mb": 3000, "runtime": 60}
    assert plan.asked(job_of("lft", "0"), 3) == {"mem_mb": 4000, "runtime": 80}


def test_guesses_for_the_default_grid_are_right_within_a_factor_of_two(place):
    """Against the committed records, which were made on two cores of an AMD EPYC."""
    plan, guessed, took = place(), 0, 0
    for job in jobs():
        if job.stage == "train":
            names = dict(job.names) | {"seed": f"seed{dict(job.names)['seed']}"}
            record = json.loads(Path(ROOT, "results/cells", *names.values(), "record.json").read_text())
            expected = plan.expected(job)
            assert expected.source == GUESSED
            assert 0.5 < expected.need.memory_mb / record["peak_memory_mb"] < 2.1
            guessed, took = guessed + expected.need.seconds, took + record["wall_seconds"]
    assert 0.5 < guessed / took < 2


def test_a_job_of_the_whole_grid_goes_by_its_own_last_run(place):
    plan = place()
    aggregate = next(job for job in jobs() if job.stage == "aggregate")
    ran(aggregate, plan.tree.values(aggregate.config), seconds=90, cpu_seconds=45, memory_mb=700, disk_mb=1)
    found = place().expected(aggregate)
    assert found.source == FROM_ALIKE
    assert tuple(found.need) == pytest.approx((90, 45, 0, 700, 1))
