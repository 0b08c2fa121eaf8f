"""`claims`: the tests of the paper's claims."""

from pydantic import Field

from ulfine.params.base import Name, Section


class Roles(Section):
    """A family of methods that the claims are about."""

    title: str = Field(min_length=1, description="what its methods have in common, for the page")
    lp: Name = Field(description="method that stands for linear probing")
    lft: Name = Field(description="method that stands for lightweight fine-tuning")
    fft: Name = Field(description="method that stands for full fine-tuning")
    ulfine: Name = Field(description="method that stands for ULFine")
    scratch: Name = Field(description="method that stands for training from scratch, a baseline")

    rivals: list[Name] = Field(
        default=[], description="methods of others; ULFine is compared with the best of those that were run"
    )

    def methods(self) -> dict[str, str]:
        """The method that stands for each role, in the order of a table."""
        return {role: getattr(self, role) for role in ("scratch", "lp", "lft", "fft", "ulfine")}


class Claims(Section):
    """The methods that the claims are about, and the tests."""

    families: dict[Name, Roles] = Field(
        min_length=1, description="families of methods; every claim is tested within each, where its methods were run"
    )
    level: float = Field(gt=0.5, lt=1, description="confidence of all intervals together")
    margin: float = Field(gt=0, lt=1, description="difference of two accuracies that is none (0.01: one point)")
    rising: float = Field(
        ge=0,
        lt=1,
        description="a validation curve whose last third lies this much above the third before still rises: what is "
        "compared with it is not tested",
    )
    draws: int = Field(ge=1000, description="bootstrap samples of the test pictures")

    def methods(self) -> dict[str, dict[str, str]]:
        """The method that stands for each role, by family."""
        return {name: roles.methods() for name, roles in self.families.items()}

    def rivals(self) -> dict[str, list[str]]:
        """Methods of others, by family."""
        return {name: roles.rivals for name, roles in self.families.items()}

    def titles(self) -> dict[str, str]:
        """What the methods of each family have in common."""
        return {name: roles.title for name, roles in self.families.items()}
