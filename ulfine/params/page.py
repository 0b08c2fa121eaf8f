"""`page`: what the page of a study shows."""

from pydantic import Field

from ulfine.params.base import Section


class Page(Section):
    """The page of a study."""

    pictures: int = Field(
        ge=0,
        le=20,
        description="pictures of each class, of twelve classes at most; 0 where they may not be passed on",
    )
