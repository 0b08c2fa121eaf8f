"""The configuration of the `report` job."""

from typing import TYPE_CHECKING

from ulfine.params.base import Name, Section
from ulfine.params.claims import Claims
from ulfine.params.grid import Grid
from ulfine.params.page import Page

if TYPE_CHECKING:
    from ulfine.params.root import Params


class ReportConfig(Section):
    """The cells of a study, the claims to test on them, and what the page shows."""

    study: Name
    grid: Grid
    methods: list[Name]  # all of the catalogue, in its order, so that each keeps its place in figures
    claims: Claims
    page: Page

    @classmethod
    def resolve(cls, params: "Params") -> "ReportConfig":
        """The configuration of the page."""
        return cls(
            study=params.study,
            grid=params.grid,
            methods=list(params.methods),
            claims=params.claims,
            page=params.page,
        )
