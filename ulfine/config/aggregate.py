"""The configuration of the `aggregate` job."""

from typing import TYPE_CHECKING

from ulfine.params.base import Name, Section
from ulfine.params.grid import Grid

if TYPE_CHECKING:
    from ulfine.params.root import Params


class AggregateConfig(Section):
    """The cells of a study, and how long their methods train in publications."""

    study: Name
    grid: Grid
    published_views: dict[Name, int]  # of each method that trains something
    draws: int  # bootstrap samples

    @classmethod
    def resolve(cls, params: "Params") -> "AggregateConfig":
        """The configuration of the tables."""
        tuned = {name: params.methods[name].tune for name in (*params.grid.method, *params.grid.baseline)}
        views = {name: params.published[tune].views() for name, tune in tuned.items() if tune in params.published}
        return cls(study=params.study, grid=params.grid, published_views=views, draws=params.claims.draws)
