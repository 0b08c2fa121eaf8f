"""Fetch a backbone once; from here on no stage needs a network.

reads   a tag of open_clip, a local checkpoint, or the embedded towers
writes  artifacts/backbones/{backbone}/
"""

from ulfine.stage import stage

from ulfine.cell import cell
from ulfine.files import new_folder
from ulfine.models import embedded
from ulfine.models.backbone import require_usable, save
from ulfine.models.fetch import fetch
from ulfine.training.device import prepare


@stage
def main(backbone: str) -> None:
    at = cell("backbone", backbone=backbone)
    prepare(at.params.runtime)
    spec = at.params.backbone
    with new_folder(at.backbone) as folder:
        save(folder, embedded.assemble() if spec.pretrained == "embedded" else fetch(spec))
        try:
            require_usable(folder, spec)
        except ValueError as error:
            raise ValueError(f"backbones.{backbone}: {error}") from None


if __name__ == "__main__":
    main()
