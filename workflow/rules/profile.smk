rule profile:
    input:
        PIPELINE.all_operator_files(),
    output:
        f"{RESULTS}/profile.json",
    log:
        f"{RESULTS}/logs/profile.log",
    conda:
        CONDA
    threads: workflow.cores  # speed is measured alone
    resources:
        gpu=PIPELINE.gpus,
    params:
        settings=PIPELINE.profile_digest(),
        code=PIPELINE.code("profile", "model"),
    shell:
        "rfbench profile --output '{output}' 2> >(tee '{log}' >&2)"


rule costs:
    input:
        f"{RESULTS}/profile.json",
    output:
        f"{REPORTS}/tables/profile.csv",
        f"{REPORTS}/tables/profile.md",
        f"{REPORTS}/figures/profile_speed.png",
        f"{REPORTS}/figures/profile_speed.pdf",
    log:
        f"{RESULTS}/logs/costs.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("costs"),
        tables=subpath(output[0], parent=True),
        figures=subpath(output[2], parent=True),
    shell:
        "rfbench costs --profile '{input}' --tables '{params.tables}' --figures '{params.figures}'"
        " 2> >(tee '{log}' >&2)"
