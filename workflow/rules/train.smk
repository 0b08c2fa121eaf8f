"""Trainings, one job per cell of the grid.

needs   artifacts/data/, artifacts/splits/, and but for baselines artifacts/backbones/, artifacts/features/
makes   artifacts/recipes/ (parameters), artifacts/runs/ (deterministic)
"""


rule recipe:
    """Write down the parameters of all trainings by one method."""
    input:
        checked=ancient("artifacts/params.ok"),
        code=code("recipe"),
        params=parameters("recipe"),
    output:
        "artifacts/recipes/{dataset}/{backbone}/{method}.json",
    shell:
        "python -m stages.recipe --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
        " --method {wildcards.method}"


rule train:
    """Train one cell, or for a zero-shot cell just classify."""
    input:
        data="artifacts/data/{dataset}",
        backbone="artifacts/backbones/{backbone}",
        split="artifacts/splits/{dataset}/{setting}/seed{seed}.json",
        features="artifacts/features/{dataset}/{backbone}",
        recipe="artifacts/recipes/{dataset}/{backbone}/{method}.json",
        code=code("train"),
        params=parameters("train"),
    output:
        directory("artifacts/runs/{dataset}/{setting}/{backbone}/{method}/seed{seed}"),
    wildcard_constraints:
        backbone="(?!none/)[^/]+",
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m stages.train --dataset {wildcards.dataset} --setting {wildcards.setting}"
        " --backbone {wildcards.backbone} --method {wildcards.method} --seed {wildcards.seed}"


rule baseline:
    """Train a network from scratch: the same script, without a backbone."""
    input:
        data="artifacts/data/{dataset}",
        split="artifacts/splits/{dataset}/{setting}/seed{seed}.json",
        recipe="artifacts/recipes/{dataset}/none/{method}.json",
        code=code("baseline"),
        params=parameters("train", backbone="none"),
    output:
        directory("artifacts/runs/{dataset}/{setting}/none/{method}/seed{seed}"),
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m stages.train --dataset {wildcards.dataset} --setting {wildcards.setting}"
        " --backbone none --method {wildcards.method} --seed {wildcards.seed}"
