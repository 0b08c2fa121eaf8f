"""Trainings, one job per cell of the grid.

needs   artifacts/data/, artifacts/splits/, and but for baselines artifacts/backbones/, artifacts/features/
makes   artifacts/runs/ (deterministic)
"""


rule train:
    """Train one cell, or for a zero-shot cell just classify."""
    input:
        data="artifacts/data/{dataset}",
        backbone="artifacts/backbones/{backbone}",
        split="artifacts/splits/{dataset}/{split}/seed{seed}.json",
        features="artifacts/features/{dataset}/{split}/{backbone}/seed{seed}",
        config="artifacts/config/train/{dataset}/{split}/{backbone}/{method}/seed{seed}.json",
        code="artifacts/code/train.json",
    output:
        directory("artifacts/runs/{dataset}/{split}/{backbone}/{method}/seed{seed}"),
    wildcard_constraints:
        backbone="(?!none/)[^/]+",
    log:
        "artifacts/logs/train/{dataset}/{split}/{backbone}/{method}/seed{seed}.log",
    params:
        again=forget("train"),
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=ask("train", "mem_mb"),
        runtime=ask("train", "runtime"),
    shell:
        "python -m stages.train --dataset {wildcards.dataset} --split {wildcards.split}"
        " --backbone {wildcards.backbone} --method {wildcards.method} --seed {wildcards.seed}"


rule baseline:
    """Train a network from scratch, without a backbone."""
    input:
        data="artifacts/data/{dataset}",
        split="artifacts/splits/{dataset}/{split}/seed{seed}.json",
        config="artifacts/config/baseline/{dataset}/{split}/{method}/seed{seed}.json",
        code="artifacts/code/baseline.json",
    output:
        directory("artifacts/runs/{dataset}/{split}/none/{method}/seed{seed}"),
    log:
        "artifacts/logs/baseline/{dataset}/{split}/{method}/seed{seed}.log",
    params:
        again=forget("baseline"),
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=ask("baseline", "mem_mb"),
        runtime=ask("baseline", "runtime"),
    shell:
        "python -m stages.baseline --dataset {wildcards.dataset} --split {wildcards.split} --method {wildcards.method}"
        " --seed {wildcards.seed}"
