"""Write down the parameters of one setting of one data set, for the splits of all seeds; why is said in recipe.py.

reads   params.yaml
writes  artifacts/settings/{dataset}/{setting}.json: values by dotted key, as `cell.params` of a split
"""

from ulfine.stage import stage

from ulfine.cell import cell
from ulfine.files import canonical, write_json


@stage
def main(dataset: str, setting: str) -> None:
    at = cell("setting", dataset=dataset, setting=setting)
    write_json(at.setting, canonical(at.params.values))


if __name__ == "__main__":
    main()
