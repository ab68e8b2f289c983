rule profile:
    output:
        f"{RESULTS}/profile.json",
    log:
        f"{RESULTS}/logs/profile.log",
    conda:
        CONDA
    # All of them, so that speed is measured alone; `snakemake --report` is given none.
    threads: workflow.resource_settings.cores or 1
    resources:
        gpu=PIPELINE.gpus,
    params:
        settings=PIPELINE.profile_digest(),
        code=PIPELINE.profile_code(),
    shell:
        "rfbench profile --output {output:q} 2> >(tee {log:q} >&2)"
