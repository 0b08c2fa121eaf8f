"""What the project promises about itself."""

import copy
import inspect
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib import import_module
from itertools import product

import jsonschema
import numpy as np
import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from tests.helpers.project import ROOT, run, succeeded, write_params
from tests.helpers.reruns import commit, copied
from ulfine.__main__ import VERBS
from ulfine.config.features import FeaturesConfig
from ulfine.files import digest, read_json, sha256
from ulfine.params.base import read_yaml, validated
from ulfine.params.inheritance import expanded
from ulfine.params.reference import reference, schema
from ulfine.params.root import load, params_of
from ulfine.runner.code import code_hashes
from ulfine.runner.functions import functions
from ulfine.runner.jobs import CODE
from ulfine.runner.resolve import CONFIGS
from ulfine.runner.study import studies, with_study

ASSET = ROOT / "assets/fashion-mnist-mini.npz"


def test_docs_parameters_is_what_the_models_say():
    assert (ROOT / "docs/parameters.md").read_text() == reference(), "run `ulfine reference`"


def test_the_version_of_pyproject_is_that_of_the_citation_and_of_the_changes():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert read_yaml(ROOT / "CITATION.cff")["version"] == version
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.slow
def test_a_source_archive_holds_all_that_git_does(tmp_path):
    succeeded(run(ROOT, sys.executable, "-m", "build", "--sdist", "--outdir", str(tmp_path)))
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        held = {name.partition("/")[2] for name in files.getnames()}
    assert set(succeeded(run(ROOT, "git", "ls-files")).stdout.split()) - held == set()


def test_docs_functions_is_what_the_code_says_and_all_of_it_can_be_imported():
    page = (ROOT / "docs/functions.md").read_text()
    assert page == functions(), "run `ulfine reference`"
    for section in page.split("\n### ")[1:]:
        module = import_module(section.split("\n", 1)[0])
        named = re.findall(r"^(?:def|class) (\w+)", section, re.MULTILINE)
        assert named and [name for name in named if not hasattr(module, name)] == []


def test_params_schema_json_is_what_the_models_say_and_fits_the_catalogue():
    committed, values = read_json(ROOT / "params.schema.json"), read_yaml(ROOT / "params.yaml")
    assert committed == schema(), "run `ulfine reference`"
    jsonschema.validate(values, committed)
    for path in (("train", "lrr"), ("methods", "ulfine_no_paf", "paff"), ("datasets", "cifar10", "split", "n2")):
        wrong = copy.deepcopy(values)
        section = wrong
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = 1
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, committed)


def test_params_yaml_is_narrow_and_every_key_of_train_says_what_it_is():
    text = (ROOT / "params.yaml").read_text()
    assert max(map(len, text.splitlines())) <= 120
    section = re.search(r"^train:.*\n((?:  .*\n)+)", text, re.MULTILINE)[1]
    assert [line for line in section.splitlines() if "#" not in line] == []


def test_the_committed_grid_is_the_default_study():
    text = (ROOT / "params.yaml").read_text()
    assert with_study(text, (ROOT / "studies/default.yaml").read_text()) == text


@pytest.mark.parametrize("name", studies(ROOT / "studies"))
def test_every_study_chooses_from_the_catalogue(tmp_path, name):
    text = with_study((ROOT / "params.yaml").read_text(), (ROOT / f"studies/{name}.yaml").read_text())
    (tmp_path / "params.yaml").write_text(text)
    assert load(tmp_path / "params.yaml").study == name
    catalogue, chosen = (read_yaml(path) for path in (ROOT / "params.yaml", tmp_path / "params.yaml"))
    assert all(catalogue[key] == chosen[key] for key in catalogue if key not in ("study", "grid"))
    own = (ROOT / "studies" / f"{name}.yaml").read_text().count("#")
    assert text.count("#") == (ROOT / "params.yaml").read_text().count("#") + own  # comments stay


def test_every_method_of_the_catalogue_fits_every_data_set():
    values = read_yaml(ROOT / "params.yaml")
    methods = load(ROOT / "params.yaml").methods
    for dataset, entry in load(ROOT / "params.yaml").datasets.items():
        grid = {
            "dataset": [dataset],
            "split": list(entry.splits),
            "method": [name for name, method in methods.items() if method.tune != "scratch"],
            "baseline": [name for name, method in methods.items() if method.tune == "scratch"],
        }
        assert params_of(values | {"grid": values["grid"] | grid}, "").grid.dataset == [dataset]


def test_the_shape_of_pictures_is_asked_of_files_alone():
    """A tower that takes squashed pictures may have arrays, which hold squares, as they are."""
    params = load(ROOT / "params.yaml")
    asked = {name: FeaturesConfig.resolve(params, name, "siglip-vit-b16").resize for name in params.datasets}
    found = {name: resize for name, resize in asked.items() if resize}
    shortest = dict.fromkeys(["cifar10-images", "cifar10-images-ensemble", "openclipart", "food101"], "shortest")
    assert found == shortest | {"food101-squash": "squash"}


MADE = re.compile(
    r"Made at commit `[0-9a-f]{7,40}` \(code of `(\w+)` (?:`([0-9a-f]{8})`|unknown)\)(; the code has changed since)?"
)


@pytest.mark.parametrize(
    "path", ["README.md", "docs/cifar10.md", "docs/controls.md", "docs/data.md", "docs/method.md", "docs/rivals.md"]
)
def test_tables_say_with_which_code_they_were_made(path):
    """A table stays where the code of its stage has moved on, but says so."""
    text = " ".join((ROOT / path).read_text().split())
    marks = MADE.findall(text)
    assert marks and len(marks) == text.count("Made at commit")
    for stage, made, changed in marks:
        now = digest(code_hashes()[CODE / f"{stage}.json"])[:8]
        expected = "" if made == now else "; the code has changed since"
        assert changed == expected, f"{path}: the code of {stage} is {now}, the table's {made}"


def test_a_stage_reads_back_every_configuration_of_the_catalogue():
    params = load(ROOT / "params.yaml")
    scratch = [name for name, method in params.methods.items() if method.tune == "scratch"]
    tuned = [name for name in params.methods if name not in scratch]
    methods = {"train": tuned, "baseline": scratch, "sweep": list(params.sweeps)}
    for stage, kind in CONFIGS.items():
        asked = inspect.signature(kind.resolve).parameters
        names = {"dataset": params.datasets, "split": ["consistent"], "backbone": params.backbones}
        names["method"] = methods.get(stage, [])
        chosen = [[(key, name) for name in found] for key, found in names.items() if key in asked]
        for each in product(*chosen):
            if "split" not in asked or "consistent" in params.datasets[dict(each)["dataset"]].splits:
                config = kind.resolve(params, **dict(each)).as_json()
                assert validated(kind, config, f"{stage} {each}: ").as_json() == config


CHANGES = {
    "no_paf": {"paf.mu"},
    "fixed_text": {"paf"},
    "no_dlf": {"dlf.eta"},
    "text_alone": {"dlf.eta"},
    "no_orthogonality": {"paf.orthogonality"},
    "projection": {"paf.orthogonality", "paf.orthogonality_by"},
    "no_centring": {"train"},
    "align_std": {"dlf.align"},
    "align_none": {"dlf.align"},
    "anchor_initial": {"paf.anchor"},
    "buffer": {"paf.prototypes"},
    "strong_paf": {"paf.mu"},
    "short": {"train"},
    "plain": {"train"},
    "short_plain": {"train"},
}


@pytest.mark.parametrize("base", ["ulfine", "ulfine_frozen"])
def test_an_ablation_changes_what_its_line_says_and_nothing_else(base):
    methods = expanded(read_yaml(ROOT / "params.yaml"))["methods"]
    found = {name.removeprefix(f"{base}_"): method for name, method in methods.items() if name.startswith(f"{base}_")}
    found = {name: method for name, method in found.items() if not name.startswith(("frozen", "tuned"))}
    assert set(CHANGES) - {"short", "short_plain"} <= set(found) <= set(CHANGES)
    for name, method in found.items():
        assert changed(methods[base], method) == CHANGES[name], name


def changed(one: dict, other: dict, prefix: str = "") -> set[str]:
    """Dotted keys whose values differ; a section that one lacks counts as a whole."""
    keys = set()
    for key in one.keys() | other.keys():
        pair = one.get(key), other.get(key)
        if all(isinstance(value, dict) for value in pair):
            keys |= changed(*pair, f"{prefix}{key}.")
        elif pair[0] != pair[1]:
            keys.add(f"{prefix}{key}")
    return keys


def test_a_study_that_is_more_than_a_study_is_refused():
    with pytest.raises(ValueError, match="a study holds the keys study and grid, found study, train"):
        with_study("study: a\ngrid: {}\n", "study: b\ntrain: {}\n")


@pytest.mark.parametrize("end", ["", "\n", "\n\n# the end\n"])
def test_blank_lines_comments_and_a_missing_last_newline_do_no_harm(end):
    params = (
        "# study: old\nstudy: old\n\ngrid: # lists\n  dataset: [a]\n\n  # why\n  seed: [0]\n\n# methods\nmethods: {}\n"
    )
    study = f"study: new\ngrid:\n  dataset: [b]\n  # two\n  seed: [0, 1]{end}"
    expected = "# study: old\nstudy: new\n\ngrid:\n  dataset: [b]\n  # two\n  seed: [0, 1]\n\n# methods\nmethods: {}\n"
    assert with_study(params, study) == expected


def test_a_study_that_does_not_fit_changes_nothing(tmp_path):
    for name in ("params.yaml", "studies", "ulfine"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    study = (ROOT / "studies/default.yaml").read_text().replace("[consistent]", "[flat]")
    (tmp_path / "studies/broken.yaml").write_text(study)
    done = run(tmp_path, "python", "-m", "ulfine", "study", "broken")
    assert done.returncode == 1
    assert done.stderr.startswith("params.yaml with studies/broken.yaml: grid.split = 'flat' is not in")
    assert (tmp_path / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert not list(tmp_path.glob(".params*"))
    assert "study paper-cifar10" in succeeded(run(tmp_path, "python", "-m", "ulfine", "study", "paper-cifar10")).stdout
    assert read_yaml(tmp_path / "params.yaml")["grid"]["backbone"] == ["clip-vit-b16"]


def test_choosing_a_study_loses_no_edit(tmp_path):
    for name in ("params.yaml", "studies", "ulfine"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    params = tmp_path / "params.yaml"
    edited = params.read_text().replace("seed: [0, 1, 2]", "seed: [0, 1, 7] # mine").replace("lr: 0.01", "lr: 0.02", 1)
    apply_overrides(params, ["train.lr=0.1"])  # as an experiment of DVC does, which lays all of it out anew
    assert "  - fft\n" in params.read_text()
    succeeded(run(tmp_path, "python", "-m", "ulfine", "study", "default"))
    params.write_text(edited)
    refused = run(tmp_path, "python", "-m", "ulfine", "study", "paper-stl10")
    assert refused.returncode == 1 and "would be lost" in refused.stderr and params.read_text() == edited
    taken = run(tmp_path, "python", "-m", "ulfine", "save")
    assert taken.returncode == 1 and taken.stderr.startswith("studies/default.yaml is another study")
    params.write_text(edited.replace("study: default", "study: mine"))
    succeeded(run(tmp_path, "python", "-m", "ulfine", "save"))
    succeeded(run(tmp_path, "python", "-m", "ulfine", "study", "paper-stl10"))
    assert "mine" not in params.read_text() and "lr: 0.02" in params.read_text()
    succeeded(run(tmp_path, "python", "-m", "ulfine", "study", "mine"))
    assert params.read_text() == edited.replace("study: default", "study: mine")


def test_the_embedded_pictures_are_enough_small_enough_and_those_that_params_names():
    with np.load(ASSET, allow_pickle=False) as archive:
        for part, least in (("train", 500), ("test", 200)):
            assert archive[f"{part}_images"].shape[1:] == (28, 28)
            assert (np.bincount(archive[f"{part}_labels"], minlength=10) >= least).all()
    assert ASSET.stat().st_size <= 5_000_000
    source = read_yaml(ROOT / "params.yaml")["datasets"]["fashion-mnist-mini"]["source"]
    assert source["sha256"] == sha256(ASSET)
    assert "Permission is hereby granted" in (ROOT / "assets/fashion-mnist-mini.LICENSE").read_text()


def test_telemetry_and_update_checks_are_off_in_the_committed_configuration():
    config = (ROOT / ".dvc/config").read_text()
    assert "analytics = false" in config and "check_update = false" in config


def test_nothing_but_text_pictures_and_pages_is_committed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    named = [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]
    large = {name for name in named if (ROOT / name).stat().st_size > 200_000}
    pages = {name for name in named if re.fullmatch(r"results/[\w-]+/(report\.html|figures/.*)", name)}
    assert large - pages == {"assets/fashion-mnist-mini.npz"}
    assert all((ROOT / name).stat().st_size < 5_000_000 for name in large)
    assert not [name for name in listed.stdout.splitlines() if name.startswith(("artifacts/", ".venv", ".snakemake"))]


def test_the_citation_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["preferred-citation"]["title"].startswith("ULFine: Unbiased Lightweight Fine-tuning")


def test_the_readme_shows_commands_that_exist():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake (\w[\w-]*)", readme))
    assert {"repro", "test", "lint"} <= targets <= set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    assert "make test" in (ROOT / ".ci/run").read_text()


def test_constraints_pin_versions_and_no_address():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_shows_an_example_with_it(verb):
    said = succeeded(run(ROOT, "ulfine", verb, "--help")).stdout
    assert re.search(rf"^example: .*ulfine {verb}\b", said, re.MULTILINE)


def test_the_command_runs_the_code_of_the_folder_that_it_is_called_in(tmp_path):
    (tmp_path / "ulfine").mkdir()
    (tmp_path / "ulfine/__init__.py").touch()
    (tmp_path / "ulfine/__main__.py").write_text("import sys; print('mine', *sys.argv[1:])")
    assert succeeded(run(tmp_path, "ulfine", "status")).stdout == "mine status\n"


def test_dvc_params_diff_names_the_line_that_was_changed(by_dvc, params, tmp_path):
    """Though no stage watches params.yaml but `resolve`: as it is written, so a parent and not each child."""
    folder = copied(by_dvc, tmp_path)
    commit(folder)
    params["methods"]["ulfine"]["paf"]["mu"] = 0.3
    write_params(folder, params)
    told = succeeded(run(folder, "dvc", "params", "diff")).stdout
    assert re.findall(r"^params.yaml +(\S+) +(\S+) +(\S+)", told, re.MULTILINE) == [
        ("methods.ulfine.paf.mu", "0.1", "0.3")
    ]
