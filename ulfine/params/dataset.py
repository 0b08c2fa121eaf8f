"""`datasets`: where pictures come from, and the long-tailed settings cut from them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ulfine.params.base import Section


class ArraySource(Section):
    """A NumPy archive with train_images, train_labels, test_images, test_labels and classes."""

    kind: Literal["npz"] = Field(description="a NumPy archive in the repository")
    path: str = Field(description="the archive, relative to the repository")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="its hash, so that a changed archive is noticed")
    licence: str = Field(description="licence of the pictures, copied into the store")


class FolderSource(Section):
    """Pictures sorted into folders: `train/<class>/*`, `test/<class>/*`."""

    kind: Literal["folder"] = Field(description="an ImageFolder")
    path: str = Field(description="the folder that holds train/ and test/")
    licence: str = Field(description="licence of the pictures, copied into the store")


class TorchvisionSource(Section):
    """A data set that torchvision downloads."""

    kind: Literal["torchvision"] = Field(description="a data set of torchvision")
    name: Literal["CIFAR10", "CIFAR100"] = Field(description="torchvision's class name")
    path: str = Field(description="folder for the downloaded archive")
    licence: str = Field(description="licence of the pictures, copied into the store")


Source = Annotated[ArraySource | FolderSource | TorchvisionSource, Field(discriminator="kind")]
Resolution = Annotated[int, Field(ge=8, le=1024)]
Prompt = Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")]


class Setting(Section):
    """How many labeled and unlabeled pictures each class gives."""

    n1: int = Field(ge=1, description="labeled pictures of the largest class")
    m1: int = Field(ge=1, description="unlabeled pictures of the largest class")
    gamma_labeled: float = Field(ge=1, description="imbalance ratio of the labeled pictures, largest / smallest class")
    gamma_unlabeled: float = Field(ge=1, description="imbalance ratio of the unlabeled pictures")
    shape: Literal["consistent", "uniform", "reversed"] = Field(
        description="unlabeled classes in the order of the labeled ones, all equal (gamma_unlabeled = 1), or reversed"
    )
    validation: int = Field(ge=1, description="pictures per class held out of the remainder, for choosing defaults")
    shuffle_ranks: bool = Field(description="which class is head and which is tail is drawn by the seed")

    @model_validator(mode="after")
    def _leaves_no_class_empty(self) -> "Setting":
        for size, gamma in (("n1", "gamma_labeled"), ("m1", "gamma_unlabeled")):
            if getattr(self, size) < getattr(self, gamma):
                raise ValueError(
                    f"{size} = {getattr(self, size)} with {gamma} = {getattr(self, gamma):g} leaves the last class "
                    f"empty; {size} must be at least {gamma}"
                )
        if self.shape == "uniform" and self.gamma_unlabeled != 1:
            raise ValueError(f"gamma_unlabeled = {self.gamma_unlabeled:g}: shape uniform needs gamma_unlabeled = 1")
        return self
