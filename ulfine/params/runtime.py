"""`runtime`: where a stage computes."""

from typing import Annotated

from pydantic import Field

from ulfine.params.base import Section, Spelled

Device = Annotated[str, Spelled(r"cpu|cuda(:\d+)?", "only cpu, cuda or cuda:N, where N is the number of a GPU, from 0")]


class Runtime(Section):
    """Device and threads; both are part of a result, since both change its last bits."""

    device: Device = Field(description="cpu, cuda or cuda:N")
    num_threads: int = Field(ge=1, le=1024, description="threads of every numeric library, and of each Snakemake job")
