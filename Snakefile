# RFBench: raw archives → prepared data → trainings → evaluations → tables.
# Plain `snakemake --cores all` runs config/default.yaml; --configfile names another one.


include: "workflow/rules/house.smk"


if not workflow.overwrite_configfiles:

    configfile: readable(f"{workflow.basedir}/config/default.yaml")


if "probe" in config:  # the controlled experiment alone

    include: "workflow/rules/probe.smk"

    rule all:
        default_target: True
        input:
            rules.probe.output,

else:

    include: "workflow/rules/common.smk"
    include: "workflow/rules/statistics.smk"
    include: "workflow/rules/report.smk"
    include: "workflow/rules/ablation.smk"

    if (
        not PIPELINE.rendering_only
    ):  # without torch: tables and figures of what there is

        include: "workflow/rules/data.smk"
        include: "workflow/rules/train.smk"
        include: "workflow/rules/evaluate.smk"
        include: "workflow/rules/profile.smk"
        include: "workflow/rules/aggregate.smk"
        include: "workflow/rules/panels.smk"
        include: "workflow/rules/probe.smk"

    rule all:
        default_target: True
        input:
            f"{RESULTS}/metrics.csv",
            PIPELINE.lesion_files(),
            PIPELINE.every_run("evidence.npz"),
            rules.statistics.output,
            PIPELINE.table_files(),
            PIPELINE.ablation_files(),
            rules.verdicts.output,
            f"{REPORTS}/figures/figures.txt",
            rules.costs.output,
            rules.page.output,
