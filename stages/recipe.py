"""Write down the parameters of all trainings of one data set by one method. A baseline has the backbone `none`.

DVC reads params.yaml anew for each stage that watches it, so that on a large grid one stage for each kind of training
watches it, and the trainings watch what that writes.

reads   params.yaml
writes  artifacts/recipes/{dataset}/{backbone}/{method}.json: values by dotted key, as `cell.params` of a training
"""

from ulfine.stage import stage

from ulfine.cell import cell
from ulfine.files import canonical, write_json


@stage
def main(dataset: str, backbone: str, method: str) -> None:
    at = cell("recipe", dataset=dataset, backbone=backbone, method=method)
    write_json(at.recipe, canonical(at.params.values))  # the same bytes for 2 and 2.0


if __name__ == "__main__":
    main()
