"""4. Strong augmentation: batches of tensors against torchvision on single PIL pictures in a loader's workers."""

from ulfine.runner.stage import stage  # noqa: F401 (sets the number of threads)

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.cell import FirstCell
from benchmarks.measured import Found, quartiles, ratios, report
from ulfine.data.augmentation import strong_views

BATCH, BATCHES, ROUNDS, WORKERS = 64, 64, 5, 2


AT_224_PX = "of large pictures both make the same passes over pixels on as many cores; what is saved is per picture"


class OneByOne(Dataset):
    """FixMatch's strong view as it is usually coded."""

    def __init__(self, images: np.ndarray, operations: int, magnitude: int) -> None:
        side = images.shape[1]
        self.images = images
        self.transform = v2.Compose(
            [
                v2.ToPILImage(),
                v2.RandomCrop(side, padding=round(side / 8), padding_mode="reflect"),
                v2.RandomHorizontalFlip(),
                v2.RandAugment(operations, magnitude),
                v2.PILToTensor(),
                v2.RandomErasing(1.0, (0.25, 0.25), (1, 1), value=127),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(self.images[index])


def main() -> None:
    """Measure at the side of the default data set, and at 224 px."""
    first = FirstCell()
    augmentation = first.augmentation
    strong = augmentation.strong
    stored = np.array(first.inputs.store.images["train"][: BATCH * BATCHES])
    devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    for device in devices:
        target = 3 if device.type == "cpu" else 20
        for side, count in ((stored.shape[1], BATCHES), (224, 4)):
            images = stored[: BATCH * count]
            if side != stored.shape[1]:
                images = np.random.default_rng(0).integers(0, 256, (len(images), side, side, 3), np.uint8)
            batches = [torch.from_numpy(part).to(device) for part in np.split(images, count)]
            loader = DataLoader(
                OneByOne(images, strong.operations, strong.magnitude),
                BATCH,
                num_workers=WORKERS,
                persistent_workers=True,
            )
            found = ratios(
                lambda loader=loader: [None for _ in loader],
                lambda batches=batches: [strong_views(part, augmentation, n) for n, part in enumerate(batches)],
                ROUNDS,
                device,
            )
            note = f"{quartiles(found)}; batch {BATCH}, against {WORKERS} workers"
            if side != stored.shape[1] and device.type == "cpu":
                note += f"; {AT_224_PX}"
            name = f"times as fast, {side} px, {'GPU' if device.type == 'cuda' else 'CPU'}"
            report(Found(4, name, found[len(found) // 2], "x", target, "higher", note), device=device)
    if len(devices) == 1:
        name = f"times as fast, {stored.shape[1]} px, GPU"
        report(Found(4, name, None, "x", 20, "higher", "no GPU was at hand"))


if __name__ == "__main__":
    main()
