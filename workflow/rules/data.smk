"""From sources to what a training reads.

needs   artifacts/config/ and artifacts/code/, which common.smk writes as Snakemake reads its rules; the sources that
        params.yaml names
makes   artifacts/data/, artifacts/backbones/, artifacts/splits/, artifacts/features/
"""


rule data:
    """Turn a source of pictures into an array store."""
    input:
        config="artifacts/config/data/{dataset}.json",
        code="artifacts/code/data.json",
    output:
        directory("artifacts/data/{dataset}"),
    log:
        "artifacts/logs/data/{dataset}.log",
    params:
        again=forget("data"),
    resources:
        mem_mb=ask("data", "mem_mb"),
        runtime=ask("data", "runtime"),
    shell:
        "python -m stages.data --dataset {wildcards.dataset}"


rule backbone:
    """Fetch a backbone once; later stages need no network."""
    input:
        config="artifacts/config/backbone/{backbone}.json",
        code="artifacts/code/backbone.json",
    output:
        directory("artifacts/backbones/{backbone}"),
    log:
        "artifacts/logs/backbone/{backbone}.log",
    params:
        again=forget("backbone"),
    threads: THREADS
    resources:
        mem_mb=ask("backbone", "mem_mb"),
        runtime=ask("backbone", "runtime"),
    shell:
        "python -m stages.backbone --backbone {wildcards.backbone}"


rule split:
    """Draw labeled, unlabeled and validation pictures by the long-tailed protocol."""
    input:
        data="artifacts/data/{dataset}",
        config="artifacts/config/split/{dataset}/{split}/seed{seed}.json",
        code="artifacts/code/split.json",
    output:
        "artifacts/splits/{dataset}/{split}/seed{seed}.json",
    log:
        "artifacts/logs/split/{dataset}/{split}/seed{seed}.log",
    params:
        again=forget("split"),
    resources:
        mem_mb=ask("split", "mem_mb"),
        runtime=ask("split", "runtime"),
    shell:
        "python -m stages.split --dataset {wildcards.dataset} --split {wildcards.split} --seed {wildcards.seed}"


rule features:
    """Pass a split's pictures and every class name through the frozen towers."""
    input:
        data="artifacts/data/{dataset}",
        backbone="artifacts/backbones/{backbone}",
        split="artifacts/splits/{dataset}/{split}/seed{seed}.json",
        config="artifacts/config/features/{dataset}/{split}/{backbone}/seed{seed}.json",
        code="artifacts/code/features.json",
    output:
        directory("artifacts/features/{dataset}/{split}/{backbone}/seed{seed}"),
    log:
        "artifacts/logs/features/{dataset}/{split}/{backbone}/seed{seed}.log",
    params:
        again=forget("features"),
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=ask("features", "mem_mb"),
        runtime=ask("features", "runtime"),
    shell:
        "python -m stages.features --dataset {wildcards.dataset} --split {wildcards.split}"
        " --backbone {wildcards.backbone} --seed {wildcards.seed}"
