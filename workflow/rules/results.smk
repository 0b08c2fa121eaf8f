"""From runs to tables.

needs   artifacts/runs/, artifacts/records/, artifacts/splits/
makes   results/cells/…/metrics.json, results/{study}/
"""


rule evaluate:
    """Score one run."""
    input:
        run="artifacts/runs/{dataset}/{setting}/{backbone}/{method}/seed{seed}",
        split="artifacts/splits/{dataset}/{setting}/seed{seed}.json",
        code=code("evaluate"),
        params=parameters("evaluate"),
    output:
        "results/cells/{dataset}/{setting}/{backbone}/{method}/seed{seed}/metrics.json",
    shell:
        "python stages/evaluate.py --dataset {wildcards.dataset} --setting {wildcards.setting}"
        " --backbone {wildcards.backbone} --method {wildcards.method} --seed {wildcards.seed}"


rule aggregate:
    """Put the cells of the grid into tables."""
    input:
        cells=expand(rules.evaluate.output, zip, **CELLS),
        records=expand(rules.train.output.record, zip, **CELLS),
        code=code("aggregate"),
        params=parameters("aggregate"),
    output:
        f"results/{STUDY}/runs.csv",
        f"results/{STUDY}/summary.csv",
        f"results/{STUDY}/summary.md",
        f"results/{STUDY}/cost.csv",
    shell:
        "python stages/aggregate.py"
