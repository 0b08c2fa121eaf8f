"""From runs to tables.

needs   artifacts/runs/, artifacts/splits/; for sweeps artifacts/data/, artifacts/backbones/,
        artifacts/features/
makes   results/cells/…/metrics.json, record.json and sweep.csv, results/{study}/
"""


rule evaluate:
    """Score one run."""
    input:
        run="artifacts/runs/{dataset}/{split}/{backbone}/{method}/seed{seed}",
        split="artifacts/splits/{dataset}/{split}/seed{seed}.json",
        code="artifacts/code/evaluate.json",
    output:
        "results/cells/{dataset}/{split}/{backbone}/{method}/seed{seed}/metrics.json",
        "results/cells/{dataset}/{split}/{backbone}/{method}/seed{seed}/record.json",
    wildcard_constraints:
        backbone="(?!none/)[^/]+",
    log:
        "artifacts/logs/evaluate/{dataset}/{split}/{backbone}/{method}/seed{seed}.log",
    params:
        again=forget("evaluate"),
    resources:
        mem_mb=ask("evaluate", "mem_mb"),
        runtime=ask("evaluate", "runtime"),
    shell:
        "python -m stages.evaluate --dataset {wildcards.dataset} --split {wildcards.split}"
        " --backbone {wildcards.backbone} --method {wildcards.method} --seed {wildcards.seed}"


rule evaluate_baseline:
    """Score one run of a network from scratch."""
    input:
        run="artifacts/runs/{dataset}/{split}/none/{method}/seed{seed}",
        split="artifacts/splits/{dataset}/{split}/seed{seed}.json",
        code="artifacts/code/evaluate.json",
    output:
        "results/cells/{dataset}/{split}/none/{method}/seed{seed}/metrics.json",
        "results/cells/{dataset}/{split}/none/{method}/seed{seed}/record.json",
    log:
        "artifacts/logs/evaluate_baseline/{dataset}/{split}/{method}/seed{seed}.log",
    params:
        again=forget("evaluate_baseline"),
    resources:
        mem_mb=ask("evaluate_baseline", "mem_mb"),
        runtime=ask("evaluate_baseline", "runtime"),
    shell:
        "python -m stages.evaluate --dataset {wildcards.dataset} --split {wildcards.split}"
        " --backbone none --method {wildcards.method} --seed {wildcards.seed}"


rule sweep:
    """Train many trials of one method, and score each on the validation pictures."""
    input:
        data="artifacts/data/{dataset}",
        backbone="artifacts/backbones/{backbone}",
        split="artifacts/splits/{dataset}/{split}/seed{seed}.json",
        features="artifacts/features/{dataset}/{split}/{backbone}/seed{seed}",
        config="artifacts/config/sweep/{dataset}/{split}/{backbone}/{method}/seed{seed}.json",
        code="artifacts/code/sweep.json",
    output:
        "results/cells/{dataset}/{split}/{backbone}/{method}/seed{seed}/sweep.csv",
    log:
        "artifacts/logs/sweep/{dataset}/{split}/{backbone}/{method}/seed{seed}.log",
    params:
        again=forget("sweep"),
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=ask("sweep", "mem_mb"),
        runtime=ask("sweep", "runtime"),
    shell:
        "python -m stages.sweep --dataset {wildcards.dataset} --split {wildcards.split}"
        " --backbone {wildcards.backbone} --method {wildcards.method} --seed {wildcards.seed}"


rule aggregate:
    """Put the cells of the grid into tables."""
    input:
        cells=expand(rules.evaluate.output, zip, **CELLS),
        sweeps=expand(rules.sweep.output, zip, **SWEEPS),
        config="artifacts/config/aggregate.json",
        code="artifacts/code/aggregate.json",
    output:
        report(f"results/{STUDY}/runs.csv", caption="../report/runs.rst", category="Tables"),
        f"results/{STUDY}/summary.json",
        report(f"results/{STUDY}/summary.csv", caption="../report/summary.rst", category="Tables"),
        f"results/{STUDY}/summary.md",
        f"results/{STUDY}/summary.tex",
        report(f"results/{STUDY}/cost.csv", caption="../report/cost.rst", category="Tables"),
        report(f"results/{STUDY}/sweep.csv", caption="../report/sweep.rst", category="Tables"),
    log:
        "artifacts/logs/aggregate.log",
    params:
        again=forget("aggregate"),
    resources:
        mem_mb=ask("aggregate", "mem_mb"),
        runtime=ask("aggregate", "runtime"),
    shell:
        "python -m stages.aggregate"


rule report:
    """Test the paper's claims on the runs, draw figures, and write the page that shows them."""
    input:
        tables=[path for path in rules.aggregate.output if path.endswith(".csv")],
        cells=expand(rules.evaluate.output, zip, **CELLS),
        published="assets/published.csv",
        citation="CITATION.cff",
        config="artifacts/config/report.json",
        code="artifacts/code/report.json",
    output:
        f"results/{STUDY}/claims.json",
        report(
            directory(f"results/{STUDY}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        directory(f"results/{STUDY}/plots"),
        report(f"results/{STUDY}/report.html", caption="../report/page.rst", category="Study"),
    log:
        "artifacts/logs/report.log",
    params:
        again=forget("report"),
    resources:
        mem_mb=ask("report", "mem_mb"),
        runtime=ask("report", "runtime"),
    shell:
        "python -m stages.report"
