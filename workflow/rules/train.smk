"""Trainings, one job per cell of the grid.

needs   artifacts/data/, artifacts/splits/, and but for baselines artifacts/backbones/, artifacts/features/
makes   artifacts/runs/ (deterministic), artifacts/records/ (time, memory, device)
"""


rule train:
    """Train one cell, or for a zero-shot cell just classify."""
    input:
        data="artifacts/data/{dataset}",
        backbone="artifacts/backbones/{backbone}",
        split="artifacts/splits/{dataset}/{setting}/seed{seed}.json",
        features="artifacts/features/{dataset}/{backbone}",
        code=code("train"),
        params=parameters("train"),
    output:
        run=directory("artifacts/runs/{dataset}/{setting}/{backbone}/{method}/seed{seed}"),
        record="artifacts/records/{dataset}/{setting}/{backbone}/{method}/seed{seed}.json",
    wildcard_constraints:
        backbone="(?!none/)[^/]+",
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python stages/train.py --dataset {wildcards.dataset} --setting {wildcards.setting}"
        " --backbone {wildcards.backbone} --method {wildcards.method} --seed {wildcards.seed}"


rule baseline:
    """Train a network from scratch: the same script, without a backbone."""
    input:
        data="artifacts/data/{dataset}",
        split="artifacts/splits/{dataset}/{setting}/seed{seed}.json",
        code=code("baseline"),
        params=parameters("train", backbone="none"),
    output:
        run=directory("artifacts/runs/{dataset}/{setting}/none/{method}/seed{seed}"),
        record="artifacts/records/{dataset}/{setting}/none/{method}/seed{seed}.json",
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python stages/train.py --dataset {wildcards.dataset} --setting {wildcards.setting}"
        " --backbone none --method {wildcards.method} --seed {wildcards.seed}"
