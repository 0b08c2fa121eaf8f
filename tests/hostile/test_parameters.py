"""params.yaml, damaged and wrong: each case is refused by the check, with the file, the key and the reason."""

import copy

import pytest

from tests.helpers import project
from tests.params.test_root import change

TEXTS = {
    "empty": (b"", "expected a mapping of keys, found NoneType"),
    "a list": (b"- study", "expected a mapping of keys, found list"),
    "a number": (b"3", "expected a mapping of keys, found int"),
    "not UTF-8": (b"study: \xff\xfe", "not UTF-8 text (invalid start byte at byte 7)"),
    "UTF-16": ("study: x".encode("utf-16"), "not UTF-8 text (invalid start byte at byte 0)"),
    "a zero byte": (b"study: a\x00b", "not valid YAML: unacceptable character #x0000"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", "not UTF-8 text (invalid start byte at byte 0)"),
    "half merged": (
        b"study: a\n<<<<<<< HEAD\ntrain: {}\n=======\ntrain: {lr: 1}\n>>>>>>> other\n",
        "line 2 is a mark of a merge that git has left; keep one of both sides",
    ),
    "cut off": (b"grid: {dataset: [shapes", "not valid YAML: while parsing a flow sequence"),
    "a tab": (b"study:\n\tx: 1", "not valid YAML: while scanning for the next token"),
    "two documents": (b"study: a\n---\nstudy: b", "not valid YAML: expected a single document"),
    "brackets without end": (b"[" * 20_000, "nested too deeply"),
    "lists in lists": (b"grid: " + b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "lists in lists on one line": (b"grid:\n  " + b"- " * 100_000 + b"x", "nested too deeply"),
    "maps without end": (b"\n".join(b" " * n + b"a:" for n in range(3000)), "nested too deeply"),
    "itself": (b"study: &a [*a]", "study: input should be text"),
    "an alias without anchor": (b"study: *nobody", "not valid YAML: found undefined alias in"),
    "a bomb of aliases": (
        b"\n".join(b"k%d: &k%d [%s]" % (n, n, b",".join([b"*k%d" % (n - 1) if n else b"x"] * 9)) for n in range(30)),
        "unknown key 'k0' (allowed: study,",
    ),
    "a Python call": (b'study: !!python/object/apply:os.system ["touch hit"]', "not valid YAML: could not determine a"),
    "a Python name": (b"study: !!python/name:os.system x", "not valid YAML: could not determine a constructor"),
    "a tag of its own": (
        b"study: !secret x",
        "not valid YAML: could not determine a constructor for the tag '!secret'",
    ),
    "a mapping that is a list": (b"study: !!map [a]", "not valid YAML: expected a mapping node, but found sequence"),
    "a list that is a mapping": (b"study: !!seq {a: b}", "not valid YAML: expected a sequence node, but found mapping"),
    "a number that is a word": (b"study: a\ntrain: {lr: !!float x}", "line 2: could not convert string to float: 'x'"),
    "a day that is none": (b"study: 2026-02-30", "line 1: day "),
    "no base64": (b"study: !!binary abc", "not valid YAML: failed to decode base64 data"),
    "5000 digits": (b"train: {steps: " + b"9" * 5000 + b"}", "line 1: Exceeds the limit (4300 digits)"),
    "a key that is a list": (b"? [a]\n: b", "line 1: a key must be a word"),
    "a key given twice": (b"study: a\nstudy: b", "line 2: key 'study' is given twice"),
    "a key that is null": (b"study: a\ndatasets: {null: {}}", 'line 2: null is no text to YAML; quote it: "null"'),
    "a key that is true": (b"methods: {true: {}}", 'line 1: true is no text to YAML; quote it: "true"'),
    "a key that is a number": (b"backbones: {1: {}}", 'line 1: 1 is no text to YAML; quote it: "1"'),
    "a key that is a day": (
        b"sweeps: {2026-01-01: {}}",
        'line 1: 2026-01-01 is no text to YAML; quote it: "2026-01-01"',
    ),
    "no key": (b"study: a\n? \n: b", "line 2: (nothing) is no text to YAML"),
    "a merge": (b"a: &a {b: 1}\nc: {<<: *a}", "line 2: a key must be a word"),
    "octal or not": (
        b"study: a\ntrain: {steps: 010}",
        "line 2: 010 is ambiguous; write a decimal number without leading",
    ),
    "yes or not": (b"train: {center: on}", "line 1: on is ambiguous; write true or false, or quote it"),
    "hexadecimal": (b"train: {steps: 0x1F}", "line 1: 0x1F is ambiguous"),
    "minutes or not": (b"train: {steps: 1:30}", "line 1: 1:30 is ambiguous"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_damaged_file_is_refused_with_the_reason(here, refused, case):
    text, reason = TEXTS[case]
    (here / "params.yaml").write_bytes(text)
    assert refused("resolve").startswith(f"params.yaml: {reason}")


SOURCE, SPLIT, TOWER = "datasets.shapes.source", "datasets.shapes.splits.tail", "backbones.tiny"
FOLDER = project.PARAMS["datasets"]["shapes"]["source"]
IMAGENET = {
    "kind": "imagenet",
    "path": "i",
    "form": "folder",
    "licence": "x",
    "groups": {"path": "g", "sha256": "0" * 64},
}
NPZ = {"kind": "npz", "path": "a.npz", "sha256": "0" * 64, "licence": "none"}
VIEWS = "augmentations.simple"
PUBLISHED = {"kind": "torchvision", "name": "CIFAR10", "path": "d", "licence": "none"}

VALUES = [
    ("study", "../up", "study = '../up': only letters (a-z, A-Z), digits, _ and -, beginning with"),
    ("study", "a/b", "study = 'a/b': only letters (a-z, A-Z), digits, _ and -, beginning with"),
    ("study", "", "study = '': only letters (a-z, A-Z), digits, _ and -, beginning with"),
    ("study", None, "study = None: input should be text"),
    ("study", 2026, "study = 2026: input should be text (in quotes where YAML reads another thing)"),
    ("grid.dataset", [True], "grid.dataset.0 = True: input should be text (in quotes where YAML reads another thing)"),
    ("study", "é", "study = 'é': only letters (a-z, A-Z), digits, _ and -, beginning with"),
    ("study", "x\n", "study = 'x\\n': only letters (a-z, A-Z), digits, _ and -, beginning with"),
    ("grid", KeyError, "grid: field required"),
    ("grid.dataset", "shapes", "grid.dataset = 'shapes': input should be a list ([a, b])"),
    ("grid.dataset", ["../etc"], "grid.dataset.0 = '../etc': only letters (a-z, A-Z), digits, _ and -, beginning with"),
    ("grid.seed", [-1], "grid.seed.0 = -1: input should be greater than or equal to 0"),
    ("grid.seed", [0.5], "grid.seed.0 = 0.5: input should be a whole number"),
    ("grid.seed", [2**32], "grid.seed.0 = 4294967296: input should be less than or equal to 4294967295"),
    ("grid.backbone", ["clip"], "grid.backbone = 'clip' is not in backbones (allowed: tiny)"),
    ("datasets.a", {}, "datasets.a.source: field required"),
    ("datasets.shapes.resolution", 7, "datasets.shapes.resolution = 7: input should be greater than or equal to 8"),
    (
        "datasets.shapes.resolution",
        10**9,
        "datasets.shapes.resolution = 1000000000: input should be less than or equal",
    ),
    ("datasets.shapes.resolution", "32", "datasets.shapes.resolution = '32': input should be a whole number"),
    ("datasets.shapes.prompt", "{name}", "datasets.shapes.prompt = '{name}': needs {} once, for the name"),
    ("datasets.shapes.prompt", "{!r}", "datasets.shapes.prompt = '{!r}': needs {} once, for the name"),
    (
        "datasets.shapes.prompt",
        ["a {}", 3],
        "datasets.shapes.prompt.1 = 3: input should be text",
    ),
    (
        "datasets.shapes.class_names",
        {"path": 1},
        "datasets.shapes.class_names.path = 1: input should be text",
    ),
    (SOURCE, [], f"{SOURCE}: input should be a section ({{key: value}})"),
    (
        SOURCE,
        {"kind": "zip"},
        f"{SOURCE}.kind = 'zip': input should be one of 'npz', 'folder', 'torchvision', 'imagenet'",
    ),
    (SOURCE, {"path": "x"}, f"{SOURCE}.kind: field required"),
    (f"{SOURCE}.pth", "x", f"{SOURCE}: unknown key 'pth', did you mean path?"),
    (
        f"{SOURCE}.path",
        "nowhere",
        "nowhere/train: no such folder; a folder source holds train/<class>/ and test/<class>/",
    ),
    (f"{SOURCE}.path", "params.yaml", "params.yaml/train: no such folder"),
    (f"{SOURCE}.unlabeled", "nowhere", "nowhere: no such folder of unlabeled pictures"),
    (f"{SOURCE}.test_share", 0, f"{SOURCE}.test_share = 0: input should be greater than 0"),
    (f"{SOURCE}.broken", "ignore", f"{SOURCE}.broken = 'ignore': input should be 'stop' or 'skip'"),
    (f"{SOURCE}.broken", True, f"{SOURCE}.broken = True: input should be 'stop' or 'skip'"),
    (
        SOURCE,
        NPZ | {"sha256": "abc"},
        f"{SOURCE}.sha256 = 'abc': 64 hexadecimal digits in lower case",
    ),
    (SOURCE, NPZ, "a.npz: No such file or directory"),
    (SOURCE, NPZ | {"path": "pictures"}, "pictures: Is a directory"),
    (SOURCE, PUBLISHED | {"name": "MNIST"}, f"{SOURCE}.name = 'MNIST': input should be 'CIFAR10', 'CIFAR100', 'STL10'"),
    (
        SOURCE,
        PUBLISHED | {"split": "extra"},
        f"{SOURCE}: unknown key 'split' (allowed: kind, name, path, broken, resize, licence)",
    ),
    (SOURCE, IMAGENET | {"form": "tar"}, f"{SOURCE}.form = 'tar': input should be 'folder' or 'downsampled'"),
    (SOURCE, IMAGENET | {"groups": "x"}, f"{SOURCE}.groups = 'x': input should be a section ({{key: value}})"),
    (SOURCE, IMAGENET, "g: No such file or directory"),
    (f"{SPLIT}.n1", 0, f"{SPLIT}.n1 = 0: input should be greater than or equal to 1"),
    (f"{SPLIT}.m1", 10**6, f"{SPLIT}: asks for "),
    (f"{SPLIT}.gamma_labeled", float("inf"), f"{SPLIT}.gamma_labeled = inf: input should be a finite number"),
    (f"{SPLIT}.validation", KeyError, f"{SPLIT}.validation: field required"),
    ("backbones.none", project.PARAMS["backbones"]["tiny"], "backbones.none: the name stands for no backbone"),
    (f"{TOWER}.model", "", f"{TOWER}.model = '': input should be text of at least 1 character"),
    (f"{TOWER}.resolution", 8, f"{TOWER}.resolution = 8: input should be greater than or equal to 16"),
    (f"{TOWER}.resolution", 224.0, f"{TOWER}.resolution = 224.0: input should be a whole number"),
    (f"{TOWER}.precision", "fp16", f"{TOWER}.precision = 'fp16': input should be 'fp32' or 'bf16'"),
    (f"{TOWER}.feature_space", "text", f"{TOWER}.feature_space = 'text': input should be 'pooled' or 'joint'"),
    (f"{TOWER}.weights", "x.pt", f"{TOWER}: unknown key 'weights' (allowed: model, pretrained,"),
    (f"{VIEWS}.weak.pad", 0.6, f"{VIEWS}.weak.pad = 0.6: input should be less than or equal to 0.5"),
    (f"{VIEWS}.views.weak", 0, f"{VIEWS}.views.weak = 0: input should be greater than or equal to 1"),
    (f"{VIEWS}.at", "tower", f"{VIEWS}.at = 'tower': input should be 'stored' or 'network'"),
    (f"{VIEWS}.strong.kind", "fixed", f"{VIEWS}.strong.kind = 'fixed': input should be one of "),
    (
        f"{VIEWS}.strong.kind",
        "torchssl",
        f"{VIEWS}.strong: unknown key 'magnitude' (allowed: kind, operations, cutout)",
    ),
    (f"{VIEWS}.strong.magnitude", 31, f"{VIEWS}.strong.magnitude = 31: input should be less than or equal to 30"),
    (f"{VIEWS}.strong.cutout.size", 2, f"{VIEWS}.strong.cutout: size = 2 with unit: side is larger than the picture"),
    ("datasets.shapes.augmentation", "smple", "datasets.shapes.augmentation = 'smple' is not in augmentations"),
    (f"{SOURCE}.resize", "crop", f"{SOURCE}.resize = 'crop': input should be 'shortest' or 'squash'"),
    (
        SOURCE,
        PUBLISHED | {"resize": "squash"},
        f"{SOURCE}: resize = 'squash' with name = 'CIFAR10': needs picture files",
    ),
    (f"{SPLIT}.split_seed", -1, f"{SPLIT}.split_seed = -1: input should be greater than or equal to 0"),
    ("train.center", "moving", "train.center"),
    ("train.center", 1.5, "train.center"),
    ("train.warmup", 1, "train.warmup = 1: input should be less than 1"),
    ("methods.lft.views", "fresh", "methods.lft: tune: adapters does not allow the key views"),
    (
        "methods.lp.rival",
        {"kind": "flexmatsh"},
        "methods.lp.rival.kind = 'flexmatsh': input should be one of 'flexmatch', 'freematch', 'softmatch', ",
    ),
    (
        "methods.lp.rival",
        {"kind": "tip_adapter", "alpha": 1, "beta": 5.5},
        "methods.lp: tune: head does not allow rival.kind = 'tip_adapter'",
    ),
    (
        "methods.zero_shot.rival",
        {"kind": "flexmatch"},
        "methods.zero_shot: tune: none does not allow rival.kind = 'flexmatch'",
    ),
    (
        "methods.scratch.rival",
        {"kind": "clip_adapter", "ratio": 0.2, "reduction": 4},
        "methods.scratch: rival.kind = 'clip_adapter' needs text and decides alone (allowed: a tower, no dlf)",
    ),
    ("methods.lft.layer_decay", 0.5, "methods.lft: tune: adapters does not allow the key layer_decay"),
    ("train.threshold", 1.1, "train.threshold = 1.1: input should be less than or equal to 1"),
    ("train.losses", {}, "train.losses: has too few entries: 0 (allowed: at least 1)"),
    ("runtime.num_threads", 0, "runtime.num_threads = 0: input should be greater than or equal to 1"),
    ("runtime.device", "cuda:-1", "runtime.device = 'cuda:-1': only cpu, cuda or cuda:N"),
    ("runtime.device", "cuda; rm -rf /", "runtime.device = 'cuda; rm -rf /': only cpu, cuda or cuda:N"),
]


@pytest.mark.parametrize(("key", "value", "reason"), VALUES, ids=[f"{key}={value!r:.40}" for key, value, _ in VALUES])
def test_a_wrong_value_is_refused_with_its_key(here, refused, key, value, reason):
    params = copy.deepcopy(project.PARAMS)
    change(params, key, value)
    project.write_params(here, params)
    line = refused("resolve").removeprefix("params.yaml: ")
    assert line.startswith(reason)
