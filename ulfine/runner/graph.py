"""Pictures to logits as one ONNX graph."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Logits = Callable[[Tensor], dict[str, Tensor]]  # (B, D) features to (B, K) logits by classifier


class Graph(nn.Module):
    """(B, side, side, 3) uint8 to (B, K) logits of each classifier.

    Args:
        encoder: pictures of the side that it takes to (B, D) features.
        logits: of features.
        side: of the pictures that come in.
        resolution: side that the encoder takes.
        interpolation: by which pictures are enlarged.
    """

    def __init__(self, encoder: nn.Module, logits: Logits, side: int, resolution: int, interpolation: str) -> None:
        super().__init__()
        self.encoder, self.logits, self.side = encoder, logits, side
        # antialiasing has no operator in ONNX that all runtimes know; enlarging is a product with a matrix on each axis
        basis = torch.eye(side)[None, None]
        enlarged = F.interpolate(basis, (resolution, side), mode=interpolation, antialias=True)[0, 0]
        self.register_buffer("enlarge", basis[0, 0] if side == resolution else enlarged)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Logits in the order of their names."""
        x = pictures.permute(0, 3, 1, 2).float()
        x = (self.enlarge @ x @ self.enlarge.T).clamp(0, 255)
        return tuple(self.logits(self.encoder(x.permute(0, 2, 3, 1))).values())


def write_graph(target: Path, graph: Graph) -> None:
    """Write a graph for any number of pictures; its outputs are `linear_logits` and so on.

    What torch's exporter notes of the code that it came from, which names folders of this machine, is left out.
    """
    example = torch.zeros(2, graph.side, graph.side, 3, dtype=torch.uint8)
    with torch.inference_mode():
        names = [f"{name}_logits" for name in graph.logits(graph.encoder(example))]  # bare, layers may have them
    with _asked_by_its_old_name():
        program = torch.onnx.export(
            graph.eval().requires_grad_(False),
            (example,),
            input_names=["pictures"],
            output_names=names,
            dynamic_shapes=({0: torch.export.Dim("pictures")},),
            dynamo=True,
            verbose=False,
        )
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    program.save(target)


@contextmanager
def _asked_by_its_old_name() -> Iterator[None]:
    """Undo what `prepare` says of float32, as torch's exporter asks for it by a name that then raises."""
    before, torch.backends.fp32_precision = torch.backends.fp32_precision, "none"
    try:
        yield
    finally:
        torch.backends.fp32_precision = before
