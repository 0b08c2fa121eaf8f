"""Where the files of a cell of the grid lie."""

from pathlib import Path


class Cell:
    """The paths of one cell, relative to the repository; `names` are those that they need (dataset, split, …)."""

    def __init__(self, **names: str | int) -> None:
        self.names = names

    def _path(self, template: str) -> Path:
        return Path(template.format(**self.names))

    @property
    def data(self) -> Path:
        """Folder of the array store."""
        return self._path("artifacts/data/{dataset}")

    @property
    def backbone(self) -> Path:
        """Folder of the towers."""
        return self._path("artifacts/backbones/{backbone}")

    @property
    def split(self) -> Path:
        """File with the indices of labeled, unlabeled and validation pictures."""
        return self._path("artifacts/splits/{dataset}/{split}/seed{seed}.json")

    @property
    def features(self) -> Path:
        """Folder of frozen features and text prototypes."""
        return self._path("artifacts/features/{dataset}/{split}/{backbone}/seed{seed}")

    @property
    def run(self) -> Path:
        """Folder of a finished training."""
        return self._path("artifacts/runs/{dataset}/{split}/{backbone}/{method}/seed{seed}")

    def noted(self, run: str) -> Path:
        """File with the cost of a training on this machine, by the hash of its run; `evaluate` takes it to `record`."""
        return self._path("artifacts/records/{dataset}/{split}/{backbone}/{method}/seed{seed}") / f"{run}.json"

    @property
    def record(self) -> Path:
        """File, in git, with the cost of a training: time, memory, device, versions."""
        return self._path("results/cells/{dataset}/{split}/{backbone}/{method}/seed{seed}/record.json")

    @property
    def metrics(self) -> Path:
        """File with the metrics of a run."""
        return self._path("results/cells/{dataset}/{split}/{backbone}/{method}/seed{seed}/metrics.json")

    @property
    def sweep(self) -> Path:
        """File with the scores of the trials of a sweep."""
        return self._path("results/cells/{dataset}/{split}/{backbone}/{method}/seed{seed}/sweep.csv")
