"""`runtime`: where a stage computes."""

from pydantic import Field

from ulfine.params.base import Section


class Runtime(Section):
    """Device and threads; both are part of a result, since both change its last bits."""

    device: str = Field(pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N")
    num_threads: int = Field(ge=1, le=1024, description="threads of every numeric library, and of each Snakemake job")
