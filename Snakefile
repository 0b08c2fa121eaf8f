"""The same stages, commands and files as dvc.yaml, for parallel and cluster runs: `snakemake --cores 2`."""


report: "workflow/report/workflow.rst"


container: "ulfine.sif" # with --software-deployment-method apptainer: docs/containers.md


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/results.smk"


rule all:
    """The tables and the page of the study that params.yaml names."""
    default_target: True
    input:
        rules.aggregate.output,
        rules.report.output,


rule downloads:
    """All that needs a network: pictures and backbones. Then the rest runs on machines without one."""
    input:
        expand(rules.data.output, dataset=PARAMETERS.grid.dataset),
        expand(rules.backbone.output, backbone=PARAMETERS.grid.backbone),
