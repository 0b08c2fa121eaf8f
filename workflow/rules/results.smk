"""From runs to tables.

needs   artifacts/runs/, artifacts/splits/; for sweeps artifacts/data/, artifacts/features/
makes   results/cells/…/metrics.json, record.json and sweep.csv, results/{study}/
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
        "results/cells/{dataset}/{setting}/{backbone}/{method}/seed{seed}/record.json",
    shell:
        "python -m stages.evaluate --dataset {wildcards.dataset} --setting {wildcards.setting}"
        " --backbone {wildcards.backbone} --method {wildcards.method} --seed {wildcards.seed}"


rule sweep:
    """Train many settings of one method on frozen features, and score each on the validation pictures."""
    input:
        data="artifacts/data/{dataset}",
        split="artifacts/splits/{dataset}/{setting}/seed{seed}.json",
        features="artifacts/features/{dataset}/{backbone}",
        code=code("sweep"),
        params=parameters("sweep"),
    output:
        "results/cells/{dataset}/{setting}/{backbone}/{method}/seed{seed}/sweep.csv",
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m stages.sweep --dataset {wildcards.dataset} --setting {wildcards.setting}"
        " --backbone {wildcards.backbone} --method {wildcards.method} --seed {wildcards.seed}"


rule aggregate:
    """Put the cells of the grid into tables."""
    input:
        cells=expand(rules.evaluate.output, zip, **CELLS),
        sweeps=expand(rules.sweep.output, zip, **SWEEPS),
        code=code("aggregate"),
        params=parameters("aggregate"),
    output:
        f"results/{STUDY}/runs.csv",
        f"results/{STUDY}/summary.csv",
        f"results/{STUDY}/summary.md",
        f"results/{STUDY}/summary.tex",
        f"results/{STUDY}/cost.csv",
        f"results/{STUDY}/sweep.csv",
    shell:
        "python -m stages.aggregate"


rule report:
    """Test the paper's claims on the runs, draw figures, and write the page that shows them."""
    input:
        tables=[path for path in rules.aggregate.output if path.endswith(".csv")],
        cells=expand(rules.evaluate.output, zip, **CELLS),
        published="assets/published.csv",
        citation="CITATION.cff",
        code=code("report"),
        params=parameters("report"),
    output:
        f"results/{STUDY}/claims.json",
        directory(f"results/{STUDY}/figures"),
        f"results/{STUDY}/report.html",
    shell:
        "python -m stages.report"
