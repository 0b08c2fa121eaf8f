"""Fetch a backbone once; from here on no stage needs a network.

reads   a tag of open_clip, a local checkpoint, or the embedded towers
writes  artifacts/backbones/{backbone}/
"""

from ulfine.runner.stage import stage

import ulfine.models.lean  # noqa: F401 (before open_clip)

from ulfine.config.backbone import BackboneConfig
from ulfine.files import new_folder
from ulfine.models import embedded
from ulfine.models.backbone import require_usable, save
from ulfine.models.fetch import fetch
from ulfine.runner.cell import Cell
from ulfine.training.device import prepare


@stage
def main(config: BackboneConfig, backbone: str) -> None:
    prepare(config.runtime)
    spec = config.backbone
    with new_folder(Cell(backbone=backbone).backbone) as folder:
        save(folder, embedded.assemble() if spec.pretrained == "embedded" else fetch(spec))
        try:
            require_usable(folder, spec)
        except ValueError as error:
            raise ValueError(f"backbones.{backbone}: {error}") from None


if __name__ == "__main__":
    main()
