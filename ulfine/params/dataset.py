"""`datasets`: where pictures come from, and the long-tailed splits cut from them."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from ulfine.params.base import PathText, Section, Sha256, Spelled

T = TypeVar("T", bound=Section)


class ArraySource(Section):
    """A NumPy archive with train_images, train_labels, test_images, test_labels and classes."""

    has_files: ClassVar[bool] = False
    kind: Literal["npz"] = Field(description="a NumPy archive in the repository")
    path: PathText = Field(description="the archive, relative to the repository")
    sha256: Sha256
    licence: str = Field(description="licence of the pictures, copied into the store")


Broken = Annotated[
    Literal["stop", "skip"],
    Field(
        description="a picture that cannot be read ends the stage, or is left out and listed in the store's meta.json"
    ),
]


Resize = Annotated[
    Literal["shortest", "squash"],
    Field(
        description="how a picture is made square: its centre is cut out, or it is squashed; a tower that open_clip "
        "feeds the other way (SigLIP: squash) is refused where that makes a difference"
    ),
]


class FolderSource(Section):
    """Pictures sorted into folders: `train/<class>/*` and `test/<class>/*`, or `<class>/*` with `test_share`.

    Pictures of a class may lie in folders of their own. Pictures of no class lie in `unlabeled/` beside train/ and
    test/, or beside the classes, or in the folder that `unlabeled` names, which may lie anywhere.
    """

    has_files: ClassVar[bool] = True
    kind: Literal["folder"] = Field(description="an ImageFolder")
    path: PathText = Field(description="the folder that holds train/ and test/, or with test_share the classes")
    test_share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="this share of each class is the test set, where there is no test/: at least one picture, "
        "never all, and the same ones for every seed",
    )
    unlabeled: PathText | None = Field(
        default=None,
        description="a folder of pictures without labels; they join train/ (absent: unlabeled/ in `path`, if any)",
    )
    broken: Broken = "stop"
    resize: Resize = "shortest"
    licence: str = Field(description="licence of the pictures, copied into the store")


class TorchvisionSource(Section):
    """A data set with the addresses and checksums that torchvision has for it."""

    kind: Literal["torchvision"] = Field(description="a data set of torchvision")
    name: Literal["CIFAR10", "CIFAR100", "STL10", "SVHN", "Food101", "FashionMNIST"] = Field(
        description="torchvision's class name"
    )
    path: PathText = Field(description="folder for the downloaded archive, and what is unpacked from it")
    broken: Broken = "stop"
    resize: Resize = "shortest"
    licence: str = Field(description="licence of the pictures, copied into the store")

    @model_validator(mode="after")
    def _fits_files_alone(self) -> "TorchvisionSource":
        return _fitting_files(self, "name", "Food101")

    @property
    def has_files(self) -> bool:
        """Whether its pictures are files of any shape, not arrays of squares."""
        return self.name == "Food101"


class CheckedFile(Section):
    """A file and its hash."""

    path: PathText = Field(description="relative to the repository; docs/data.md shows what it holds")
    sha256: Sha256


class ImageNetSource(Section):
    """ImageNet-1k, its classes grouped: into 127 by `assets/imagenet127.csv` (Huh et al., arXiv 1608.08614; CoSSL)."""

    kind: Literal["imagenet"] = Field(description="ImageNet-1k, its classes grouped")
    path: PathText = Field(description="the folder that holds what `form` names; nothing is downloaded")
    form: Literal["folder", "downsampled"] = Field(
        description="train/<synset>/* and val/<synset>/*, or the archives of downsampled ImageNet (32 or 64 pixels)"
    )
    groups: CheckedFile = Field(description="the group of each synset, CSV")
    broken: Broken = "stop"
    resize: Resize = "shortest"
    licence: str = Field(description="licence of the pictures, copied into the store")

    @model_validator(mode="after")
    def _fits_files_alone(self) -> "ImageNetSource":
        return _fitting_files(self, "form", "folder")

    @property
    def has_files(self) -> bool:
        """Whether its pictures are files of any shape, not arrays of squares."""
        return self.form == "folder"


def _fitting_files(source: T, key: str, of_files: str) -> T:
    """Refuse options about files where `key` names a source of arrays."""
    for option, given, usual in (("broken", source.broken, "stop"), ("resize", source.resize, "shortest")):
        if given != usual and not source.has_files:
            value = getattr(source, key)
            raise ValueError(f"{option} = {given!r} with {key} = {value!r}: needs picture files (allowed: {of_files})")
    return source


Source = Annotated[ArraySource | FolderSource | TorchvisionSource | ImageNetSource, Field(discriminator="kind")]
Resolution = Annotated[int, Field(ge=8, le=1024)]
Prompt = Annotated[str, Spelled(r"[^{}]*\{\}[^{}]*", "needs {} once, for the name of the class, and no other brace")]
Prompts = Annotated[
    list[Prompt],
    Field(min_length=1),
    BeforeValidator(
        lambda value: value if isinstance(value, list) else [value], json_schema_input_type=Prompt | list[Prompt]
    ),
]
ClassNames = Annotated[
    Annotated[Literal["source"], Tag("source")] | Annotated[CheckedFile, Tag("file")],
    Discriminator(
        lambda value: "source" if value == "source" else "file" if isinstance(value, Mapping | Section) else None,
        custom_error_type="neither",
        custom_error_message="input should be 'source' or a section ({path: FILE, sha256: …})",
    ),
]


N1 = Annotated[int, Field(ge=1, description="labeled pictures of the largest class")]
GammaLabeled = Annotated[
    float, Field(ge=1, description="imbalance ratio of the labeled pictures, largest / smallest class")
]
Validation = Annotated[
    int, Field(ge=0, description="pictures per class held out of the remainder, for choosing defaults; 0: none")
]
ValidationShare = Annotated[
    float,
    Field(
        ge=0,
        lt=1,
        description="held-out share of each class, rounded half to even, at least one picture where there are three; "
        "0: none",
    ),
]
ShuffleRanks = Annotated[bool, Field(description="which class is head and which is tail is drawn by the seed")]
SplitSeed = Annotated[
    int | None,
    Field(
        default=None,
        ge=0,
        le=2**32 - 1,
        description="the same pictures are drawn for all seeds, by this one (absent: each seed draws its own); then "
        "seeds differ in batches, views and new weights alone",
    ),
]
IncludeLabeled = Annotated[
    bool, Field(description="the unlabeled pool holds the labeled pictures too (ACR, CCL, FineSSL), or is disjoint")
]


class ExponentialSplit(Section):
    """Labeled counts decay exponentially from head to tail; the unlabeled ones do as well, in an order of their own.

    Source: `make_imb_data` of ACR, CCL, FineSSL, LoFT and SimPro. `middle` and `head-tail` are SimPro's flags 3 and 4;
    the helpers of that name in CPG and Meta-Expert (`exp_middle`, `exp_head_tail`) give each other's order, and their
    `exp_uniform` is flat at the mean of the decaying list, not at m1.
    """

    shape: Literal["consistent", "uniform", "reversed", "middle", "head-tail"] = Field(
        description="unlabeled classes in the order of the labeled ones, all equal (gamma_unlabeled = 1), reversed, "
        "with their peak in the middle, or with peaks at both ends"
    )
    n1: N1
    m1: int = Field(ge=1, description="unlabeled pictures of the largest class")
    gamma_labeled: GammaLabeled
    gamma_unlabeled: float = Field(ge=1, description="imbalance ratio of the unlabeled pictures")
    validation: Validation
    shuffle_ranks: ShuffleRanks
    include_labeled_in_unlabeled: IncludeLabeled
    split_seed: SplitSeed

    @model_validator(mode="after")
    def _leaves_no_class_empty(self) -> "ExponentialSplit":
        _require_no_empty_class("n1", self.n1, "gamma_labeled", self.gamma_labeled)
        _require_no_empty_class("m1", self.m1, "gamma_unlabeled", self.gamma_unlabeled)
        if self.shape == "uniform" and self.gamma_unlabeled != 1:
            raise ValueError(f"gamma_unlabeled = {self.gamma_unlabeled:g}: shape uniform needs gamma_unlabeled = 1")
        return self


class UnknownSplit(Section):
    """Labeled counts decay exponentially; the pool is every training picture without a label (STL-10)."""

    shape: Literal["unknown"] = Field(description="every picture without a label is in the pool")
    n1: N1
    gamma_labeled: GammaLabeled
    validation: Validation
    shuffle_ranks: ShuffleRanks
    include_labeled_in_unlabeled: IncludeLabeled
    split_seed: SplitSeed

    @model_validator(mode="after")
    def _leaves_no_class_empty(self) -> "UnknownSplit":
        _require_no_empty_class("n1", self.n1, "gamma_labeled", self.gamma_labeled)
        return self


class NaturalSplit(Section):
    """The long tail that the pictures have: a share of each class is labeled, a share held out, the rest unlabeled.

    Source: ACR and SimPro for ImageNet-127, 10 % labeled. They hold nothing out.
    """

    shape: Literal["natural"] = Field(description="classes keep their sizes, and the largest is head")
    labeled_share: float = Field(
        gt=0, lt=1, description="labeled share of each class, rounded half to even, at least one picture"
    )
    validation_share: ValidationShare
    include_labeled_in_unlabeled: IncludeLabeled
    split_seed: SplitSeed

    @model_validator(mode="after")
    def _leaves_some_unlabeled(self) -> "NaturalSplit":
        total = self.labeled_share + self.validation_share
        if total >= 1:
            raise ValueError(f"labeled_share + validation_share = {total:g} leaves nothing unlabeled; must be below 1")
        return self


class NaturalUnknownSplit(Section):
    """All labels that there are but for a share held out of each class, and as the pool all pictures without one."""

    shape: Literal["natural-unknown"] = Field(
        description="classes keep their sizes, the largest is head, and every picture without a label is in the pool"
    )
    validation_share: ValidationShare
    include_labeled_in_unlabeled: IncludeLabeled
    split_seed: SplitSeed


Split = Annotated[ExponentialSplit | UnknownSplit | NaturalSplit | NaturalUnknownSplit, Field(discriminator="shape")]


def _require_no_empty_class(size_key: str, size: int, gamma_key: str, gamma: float) -> None:
    if size < gamma:
        raise ValueError(
            f"{size_key} = {size} with {gamma_key} = {gamma:g} leaves the last class empty; "
            f"{size_key} must be at least {gamma_key}"
        )
