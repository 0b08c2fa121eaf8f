"""From sources to what a training reads.

needs   params.yaml, and the sources that it names
makes   artifacts/code/, artifacts/params.ok, artifacts/data/, artifacts/backbones/, artifacts/settings/, artifacts/splits/,
        artifacts/features/

Parameters are checked whenever Snakemake reads its rules, so `check` runs once and all that touches it is `ancient`: were
it to run again, Snakemake would hold back whatever else is missing until the next call (9.27, dag.update_needrun).
Manifests of the code are brought up to date at the same moment, so `manifest` need never run.
"""


rule manifest:
    """Hash the code that each stage depends on."""
    input:
        ancient("stages"),
        ancient("ulfine"),
    output:
        MANIFESTS,
    shell:
        "python -m stages.manifest"


rule check:
    """Refuse wrong parameters before any work."""
    input:
        params=ancient("params.yaml"),
        code=ancient(code("check")),
    output:
        "artifacts/params.ok",
    shell:
        "python -m stages.check"


rule data:
    """Turn a source of pictures into an array store."""
    input:
        checked=ancient("artifacts/params.ok"),
        code=code("data"),
        params=parameters("data"),
    output:
        directory("artifacts/data/{dataset}"),
    shell:
        "python -m stages.data --dataset {wildcards.dataset}"


rule backbone:
    """Fetch a backbone once; later stages need no network."""
    input:
        checked=ancient("artifacts/params.ok"),
        code=code("backbone"),
        params=parameters("backbone"),
    output:
        directory("artifacts/backbones/{backbone}"),
    threads: THREADS
    shell:
        "python -m stages.backbone --backbone {wildcards.backbone}"


rule setting:
    """Write down the parameters of one setting."""
    input:
        checked=ancient("artifacts/params.ok"),
        code=code("setting"),
        params=parameters("setting"),
    output:
        "artifacts/settings/{dataset}/{setting}.json",
    shell:
        "python -m stages.setting --dataset {wildcards.dataset} --setting {wildcards.setting}"


rule split:
    """Draw labeled, unlabeled and validation pictures by the long-tailed protocol."""
    input:
        data="artifacts/data/{dataset}",
        setting="artifacts/settings/{dataset}/{setting}.json",
        code=code("split"),
        params=parameters("split"),
    output:
        "artifacts/splits/{dataset}/{setting}/seed{seed}.json",
    shell:
        "python -m stages.split --dataset {wildcards.dataset} --setting {wildcards.setting} --seed {wildcards.seed}"


rule features:
    """Pass every picture and every class name through the frozen towers."""
    input:
        data="artifacts/data/{dataset}",
        backbone="artifacts/backbones/{backbone}",
        code=code("features"),
        params=parameters("features"),
    output:
        directory("artifacts/features/{dataset}/{backbone}"),
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        "python -m stages.features --dataset {wildcards.dataset} --backbone {wildcards.backbone}"
