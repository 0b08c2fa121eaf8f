import pytest

from tests.helpers.project import PARAMS, ROOT
from ulfine.params.base import read_yaml, validated
from ulfine.params.dataset import Resolution
from ulfine.params.grid import Grid
from ulfine.params.root import Params, load

OK = None  # nothing is wrong
PAF, BACKBONE = PARAMS["methods"]["ulfine"]["paf"], PARAMS["backbones"]["tiny"]
WEIGHED = {key: value for key, value in BACKBONE.items() if key != "pretrained"}
TAGGED = BACKBONE | {"model": "ViT-B-32", "pretrained": "openai"}
SPLIT = "datasets.shapes.splits.tail"
COPIES = {"include_labeled_in_unlabeled": False}
UNKNOWN = {"shape": "unknown", "n1": 6, "gamma_labeled": 3, "validation": 2, "shuffle_ranks": False} | COPIES
NATURAL = {"shape": "natural", "labeled_share": 0.1, "validation_share": 0.1} | COPIES
ALL_LABELS = {"shape": "natural-unknown", "validation_share": 0.1} | COPIES

PUBLISHED = {"kind": "torchvision", "path": "p", "broken": "skip", "licence": "none"}
IMAGENET = PUBLISHED | {"kind": "imagenet", "groups": {"path": "g", "sha256": 64 * "0"}}


def change(params: dict, key: str, value: object) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        params = params.setdefault(parent, {})
    if value is KeyError:
        del params[last]
    else:
        params[last] = value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.lr", -1, "train.lr = -1: input should be greater than 0"),
        ("train.lr", "fast", "train.lr = 'fast': input should be a number"),
        ("train.lr", float("nan"), "train.lr = nan: input should be a finite number"),
        ("train.steps", 1.5, "train.steps = 1.5: input should be a whole number"),
        ("train.steps", True, "train.steps = True: input should be a whole number"),
        ("train.lr", KeyError, "train.lr: field required"),
        ("train.learning_rate", 1, "train: unknown key 'learning_rate' (allowed: steps, batch_size,"),
        ("train.treshold", 1, "train: unknown key 'treshold', did you mean threshold? (allowed: steps,"),
        ("methods.lp.tune", "heads", "methods.lp.tune = 'heads': input should be 'none', 'head', 'adapters', 'all'"),
        ("methods.lp.train.lr", 0, "methods.lp.train.lr = 0: input should be greater than 0"),
        ("methods.lp.train.momentum", 1, "methods.lp.train.momentum = 1: input should be less than 1"),
        ("methods.lp.paf", {"mu": 1}, "methods.lp.paf.prototypes: field required"),
        ("methods.scratch.scratch.depth", 27, "methods.scratch.scratch: depth = 27: a Wide ResNet has 6n + 4 layers"),
        ("methods.scratch.scratch", KeyError, "methods.scratch: tune: scratch needs the key scratch"),
        ("methods.ulfine.paf.orthogonality_by", "projection", OK),
        (
            "methods.ulfine.paf",
            PAF | {"orthogonality_by": "projection", "orthogonality": 2.0},
            "methods.ulfine.paf: orthogonality = 2: a projection goes at most the whole way, 1",
        ),
        (
            "train.losses",
            {"labeled": 1, "entropi": 1},
            "train.losses.entropi = 1: input should be 'labeled'",
        ),
        ("train.losses", {"unlabeled": 1}, "train: losses = {unlabeled} lacks labeled, which every training has"),
        (
            "methods.lp.train",
            {"unlabeled_ratio": 0, "losses": {"unlabeled": None}, "distribution_alignment": 1.0},
            "train, with methods.lp.train over datasets.shapes.train: distribution_alignment goes by predictions on",
        ),
        ("train.nesterov", True, OK),
        ("train.momentum", 0, "train, with methods.scratch.train over datasets.shapes.train: nesterov: true needs opt"),
        ("train.unlabeled_ratio", 0, "train: losses.unlabeled needs unlabeled pictures: unlabeled_ratio = 0 allows"),
        (
            "train.pseudo_label_adjustment",
            1,
            "train: pseudo_label_adjustment = 1 with logit_adjustment = 1 corrects for the prior twice (allow",
        ),
        ("methods.lp.train", {"logit_adjustment": 0, "pseudo_label_adjustment": 1}, OK),
        ("methods.lp.train", {"adjust_twice": True, "pseudo_label_adjustment": 1}, OK),
        (
            "methods.lp.train",
            {"pseudo_label_adjustment": 0.5},
            "train, with methods.lp.train over datasets.shapes.train: pseudo_label_adjustment = 0.5 with logit_adjustm",
        ),
        (
            "methods.lp.train",
            {"test_crops": 5},
            "methods.lp: test_crops = 5: tune: head sees cached features of whole pictures (allowed: 1)",
        ),
        (
            "methods.lp.train",
            {"labeled_view": "minimalist"},
            "methods.lp: labeled_view = 'minimalist': tune: head sees",
        ),
        ("methods.scratch.train", {}, "methods.scratch: classifier_init = 'text': tune: scratch knows no text"),
        (
            "methods.ulfine.train",
            {"unlabeled_ratio": 0, "losses": {"unlabeled": None}},
            "methods.ulfine: unlabeled_ratio = 0: paf goes by the predictions on unlabeled pictures",
        ),
        ("grid.baseline", [], OK),
        ("grid.baseline", ["lp"], "grid.baseline = 'lp' is not in methods with tune: scratch (allowed: scratch)"),
        ("grid.method", ["scratch"], "grid.method = 'scratch' is not in methods (allowed: zero_shot, lp, lft, fft, ul"),
        ("backbones.none", BACKBONE, "backbones.none: the name stands for no backbone; choose another"),
        ("methods.lp.adapter", {"kind": "bias"}, "methods.lp: tune: head does not allow the key adapter"),
        ("methods.lft.adapter", {"kind": "lora"}, "methods.lft.adapter.rank: field required"),
        ("methods.lft.adapter.rank", 4, "methods.lft.adapter: unknown key 'rank' (allowed: kind, width)"),
        ("methods.lft.adapter.kind", "lore", "methods.lft.adapter.kind = 'lore': input should be one of"),
        ("methods.lft.adapter", {"width": 4}, "methods.lft.adapter.kind: field required"),
        ("methods.fft.tower_lr", KeyError, "methods.fft: tune: all needs the key tower_lr"),
        ("methods.ulfine.adapter.width", 0, "methods.ulfine.adapter.width = 0: input should be greater than or equal"),
        ("methods.ulfine.dlf", KeyError, "methods.ulfine: paf needs dlf: without fusion nothing reads the prototypes"),
        ("methods.ulfine.paf.anchor", "text", "methods.ulfine.paf.anchor = 'text': input should be 'initial' or 'run"),
        ("methods.a/b", {"tune": "head"}, "methods.a/b: only letters (a-z, A-Z), digits, _ and -, beginning with"),
        (
            "datasets.shapes.source.path",
            3,
            "datasets.shapes.source.path = 3: input should be text",
        ),
        ("datasets.shapes.source.path", KeyError, "datasets.shapes.source.path: field required"),
        (
            "datasets.shapes.prompt",
            "a photo",
            "datasets.shapes.prompt = 'a photo': needs {} once, for the name of the class",
        ),
        (
            "datasets.shapes.prompt",
            ["a {}", "{} {}"],
            "datasets.shapes.prompt.1 = '{} {}': needs {} once, for the name of the class",
        ),
        ("datasets.shapes.prompt", [], "datasets.shapes.prompt: has too few entries: 0 (allowed: at least 1)"),
        ("datasets.shapes.class_names", "file", "datasets.shapes.class_names = 'file': input should be 'source'"),
        ("datasets.shapes.class_names", {"path": "names.yaml"}, "datasets.shapes.class_names.sha256: field required"),
        ("datasets.shapes.source.broken", "drop", "datasets.shapes.source.broken = 'drop': input should be 'stop' or "),
        (
            "datasets.shapes.source",
            PUBLISHED | {"name": "CIFAR10"},
            "datasets.shapes.source: broken = 'skip' with name = 'CIFAR10': needs picture files (allowed: Food101)",
        ),
        ("datasets.shapes.source", PUBLISHED | {"name": "Food101"}, OK),
        (
            "datasets.shapes.source",
            IMAGENET | {"form": "downsampled"},
            "datasets.shapes.source: broken = 'skip' with form = 'downsampled': needs picture files (allowed: folder)",
        ),
        ("datasets.shapes.source", IMAGENET | {"form": "folder"}, OK),
        (f"{SPLIT}.n1", 2, f"{SPLIT}: n1 = 2 with gamma_labeled = 3 leaves the last class empty; n1 must be at le"),
        (f"{SPLIT}.shape", "uniform", f"{SPLIT}: gamma_unlabeled = 2: shape uniform needs gamma_unlabeled = 1"),
        (
            f"{SPLIT}.shape",
            "flat",
            f"{SPLIT}.shape = 'flat': input should be one of 'consistent', 'uniform', 'reversed', 'middle', ",
        ),
        (f"{SPLIT}.shape", KeyError, f"{SPLIT}.shape: field required"),
        (SPLIT, 3, f"{SPLIT} = 3: input should be a section ({{key: value}})"),
        (
            "datasets.shapes.source.kind",
            "zip",
            "datasets.shapes.source.kind = 'zip': input should be one of 'npz', 'fol",
        ),
        (f"{SPLIT}.shape", "unknown", f"{SPLIT}: unknown key 'm1' (allowed: shape, n1, gamma_labeled, validation,"),
        (
            f"{SPLIT}.include_labeled_in_unlabeled",
            KeyError,
            f"{SPLIT}.include_labeled_in_unlabeled: field required",
        ),
        (SPLIT, UNKNOWN | {"n1": 2}, f"{SPLIT}: n1 = 2 with gamma_labeled = 3 leaves the last class empty"),
        (SPLIT, NATURAL | {"labeled_share": 0}, f"{SPLIT}.labeled_share = 0: input should be greater than 0"),
        (f"{SPLIT}.validation", 0, OK),
        (f"{SPLIT}.validation", -1, f"{SPLIT}.validation = -1: input should be greater than or equal to 0"),
        (SPLIT, UNKNOWN | {"validation": 0}, OK),
        (SPLIT, NATURAL | {"validation_share": 0}, OK),
        (SPLIT, ALL_LABELS, OK),
        (SPLIT, ALL_LABELS | {"validation_share": 0}, OK),
        (SPLIT, ALL_LABELS | {"validation_share": 1}, f"{SPLIT}.validation_share = 1: input should be less than 1"),
        (
            SPLIT,
            ALL_LABELS | {"labeled_share": 0.5},
            f"{SPLIT}: unknown key 'labeled_share', did you mean val",
        ),
        (SPLIT, NATURAL | {"labeled_share": 0.9}, f"{SPLIT}: labeled_share + validation_share = 1 leaves nothing"),
        ("datasets.shapes.source.test_share", 1, "datasets.shapes.source.test_share = 1: input should be less than 1"),
        ("grid.sweep", [], OK),
        ("grid.sweep", ["lp"], "grid.sweep = 'lp' is not in sweeps (allowed: frozen, lft)"),
        (
            "sweeps",
            {"frozen": {"train.lr": [1]}, "zero_shot": {"train.lr": [1]}},
            "sweeps = 'zero_shot' is not in methods that tune a backbone (allowed: lp, lft, fft, ulfine, frozen)",
        ),
        ("sweeps.frozen", {}, "sweeps.frozen: has too few entries: 0 (allowed: at least 1)"),
        ("sweeps.frozen", {"train.lr": []}, "sweeps.frozen.train.lr: has too few entries: 0 (allowed: at least 1)"),
        ("sweeps.frozen", {"train.lr": [1, 1]}, "sweeps.frozen.train.lr: [1, 1] names a value twice"),
        ("sweeps.frozen", {"dlf.eta": [0.5, 2]}, "sweeps.frozen: dlf.eta = 2: dlf.eta = 2"),
        ("sweeps.frozen", {"paf.mu": [0.5]}, "sweeps.frozen: key 'paf.mu': not one of this method"),
        (
            "sweeps.frozen",
            {"train.lr": [n / 200 for n in range(1, 102)], "dlf.eta": [n / 100 for n in range(100)]},
            "sweeps.frozen: 10100 trials (allowed: at most 10000)",
        ),
        ("train.accumulate", 3, "train: accumulate = 3 does not divide batch_size = 4"),
        ("methods.scratch.train.accumulate", 2, "methods.scratch: accumulate: tune: scratch learns batch statistics"),
        ("methods.scratch.train.checkpoint_blocks", True, "methods.scratch: checkpoint_blocks: tune: scratch learns"),
        (
            "grid.method",
            ["a.b"],
            "grid.method.0 = 'a.b': only letters (a-z, A-Z), digits, _ and -, beg",
        ),
        ("study", 2024, "study = 2024: input should be text (in quotes where YAML reads another thing)"),
        ("train.nesterov", "yes", "train.nesterov = 'yes': input should be true or false"),
        ("methods.lft.adapter.width", "x", "methods.lft.adapter.width = 'x': input should be a whole number or 'auto'"),
        (
            "methods.lft.adapter.width",
            0,
            "methods.lft.adapter.width = 0: input should be greater than or equal",
        ),
        ("methods.lp.dlf", 3, "methods.lp.dlf = 3: input should be a section ({key: value})"),
        (
            "sweeps.frozen",
            {"dlf.eta": [None]},
            "sweeps.frozen.dlf.eta.0 = None: input should be true or false or a",
        ),
        ("datasets.shapes.source", 3, "datasets.shapes.source = 3: input should be a section ({key: value})"),
        (
            "datasets.shapes.class_names",
            3,
            "datasets.shapes.class_names = 3: input should be 'source' or a sec",
        ),
        ("datasets.shapes.prompt", 3, "datasets.shapes.prompt = 3: input should be text"),
        ("grid.method", ["lpp"], "grid.method = 'lpp' is not in methods (allowed: zero_shot, lp, lft, fft, ulfine, "),
        ("grid.split", ["flat"], "grid.split = 'flat' is not in datasets.shapes.splits (allowed: tail)"),
        ("grid.seed", [0, 0], "grid.seed: [0, 0] names an entry twice"),
        (
            "backbones.tiny.pretrained",
            "embedded",
            "backbones.tiny: model = 'tiny.json' with pretrained = 'embedded': emb",
        ),
        (
            "backbones.tiny",
            BACKBONE | {"pretrained": "laion"},
            "backbones.tiny: pretrained = 'laion': tiny.json has no tag",
        ),
        (
            "backbones.tiny.pretrained",
            KeyError,
            "backbones.tiny: model = 'tiny.json' needs the key pretrained: a tag or",
        ),
        (
            "backbones.tiny.model",
            "hf-hub:a/b",
            "backbones.tiny: pretrained = 'tiny.pt': hf-hub:a/b brings its weights; ",
        ),
        (
            "backbones.tiny.model",
            "local-dir:a",
            "backbones.tiny: pretrained = 'tiny.pt': local-dir:a brings its weights",
        ),
        *(
            (
                "backbones.tiny",
                entry | {"pretrained": file},
                f"backbones.tiny: pretrained = {file!r}: a checkpoint is read by its ending (allowed: .safetensors, "
                ".pt, .pth, .bin, .npz); save its state_dict as .safetensors",
            )
            for entry in (BACKBONE, TAGGED)
            for file in ("w.ckpt", "a/b", "w.pkl", "w.pt.zip", "~/w", "w.PT", "a\\b", "x.safetensors.index.json")
        ),
        ("backbones.tiny", TAGGED | {"pretrained": "laion400m_e32"}, OK),
        ("backbones.tiny", WEIGHED | {"model": "hf-hub:a/b@main"}, OK),
        (
            "backbones.tiny",
            WEIGHED | {"model": "hf-hub:a"},
            "backbones.tiny: model = 'hf-hub:a': write hf-hub:ORG/NAME",
        ),
        (
            "backbones.tiny",
            WEIGHED | {"model": "local-dir:"},
            "backbones.tiny: model = 'local-dir:': write local-dir:FO",
        ),
        ("backbones.tiny", WEIGHED | {"model": "local-dir:a", "sha256": 64 * "0"}, OK),
        (
            "backbones.tiny",
            WEIGHED | {"model": "hf-hub:a/b", "sha256": 64 * "0"},
            "backbones.tiny: sha256 is that of a lo",
        ),
        (
            "backbones.tiny",
            TAGGED | {"sha256": 64 * "0"},
            "backbones.tiny: sha256 is that of a local checkpoint; a tag",
        ),
        ("backbones.tiny.sha256", 64 * "0", OK),
        (
            "backbones.tiny.sha256",
            "0123",
            "backbones.tiny.sha256 = '0123': 64 hexadecimal digits in lower case",
        ),
        ("grid.seed", [], "grid.seed: has too few entries: 0 (allowed: at least 1)"),
        ("runtime.device", "gpu", "runtime.device = 'gpu': only cpu, cuda or cuda:N"),
        ("runtime", None, "runtime = None: input should be a section ({key: value})"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(params, key, value, message):
    params["grid"] |= {"method": ["zero_shot", "lp", "lft", "fft", "ulfine"], "baseline": ["scratch"]}
    change(params, key, value)
    if message is OK:
        validated(Params, params, "params.yaml: ")
        return
    with pytest.raises(ValueError) as caught:
        validated(Params, params, "params.yaml: ")
    assert str(caught.value).startswith(f"params.yaml: {message}")
    assert "\n" not in str(caught.value)


def test_several_wrong_keys_are_counted_and_several_kinds_of_one_value_are_not(params):
    params["methods"]["lft"]["adapter"]["width"] = "wide"
    params["train"]["lr"] = -1
    with pytest.raises(ValueError) as caught:
        validated(Params, params, "")
    kinds = "methods.lft.adapter.width = 'wide': input should be a whole number or 'auto'"
    assert str(caught.value) == f"{kinds} (and 1 more)"


@pytest.mark.parametrize("value", ["32", "wide", 16.5])
def test_a_value_is_as_strict_on_its_own_as_in_its_section(value):
    with pytest.raises(ValueError) as caught:
        validated(Resolution, value, "resolution: ")
    assert str(caught.value) == "resolution: input should be a whole number"


def test_no_pattern_is_left_that_a_user_would_have_to_read():
    patterns = [str(path) for path in (ROOT / "ulfine").rglob("*.py") if "pattern=" in path.read_text()]
    assert patterns == []


def test_cells_that_dvc_would_take_for_one_are_refused():
    names = {"backbone": ["x"], "method": ["m"], "seed": [0], "baseline": [], "sweep": []}
    Grid(dataset=["a", "a-b"], split=["c", "d"], **names)
    with pytest.raises(ValueError, match=r"two cells would both be a-b-c-0 to DVC; rename one of dataset, split"):
        Grid(dataset=["a", "a-b"], split=["b-c", "c"], **names)


def test_the_parameters_as_committed_are_right():
    assert load(ROOT / "params.yaml").study == "default"


@pytest.mark.parametrize("text", ["a: [1", "- 1", "train: {lr: 1, lr: 2}"])
def test_a_file_that_is_no_mapping_of_distinct_keys_is_refused(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(
        ValueError, match=r"params\.yaml: (not valid YAML|expected a mapping|line 1: key 'lr' is given)"
    ):
        read_yaml(path)


def test_exponents_are_numbers_as_they_are_for_dvc(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: 5e-4\nb: 1E3\nc: 5.0e-4\nd: e5\ne: 1.5e3\nf: -.5E-2\ng: 1.e2\n")
    assert read_yaml(path) == {"a": 0.0005, "b": 1000.0, "c": 0.0005, "d": "e5", "e": 1500.0, "f": -0.005, "g": 100.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: [010]", "line 1: 010 is ambiguous; write a decimal number without leading zeros"),
        ("a: 1\nb: 0x1F", "line 2: 0x1F is ambiguous"),
        ("a: 1_000", "line 1: 1_000 is ambiguous"),
        ("center: on", "line 1: on is ambiguous; write true or false, or quote it"),
        ("a: &b {c: 1}\nd: {<<: *b}", "line 2: a key must be a word"),
        ("[1, 2]: 3", "line 1: a key must be a word"),
    ],
)
def test_what_dvc_would_read_differently_is_refused(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ValueError) as caught:
        read_yaml(tmp_path / "params.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/params.yaml: {message}")


def test_yaml_does_not_build_objects(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ValueError, match="not valid YAML"):
        read_yaml(path)
