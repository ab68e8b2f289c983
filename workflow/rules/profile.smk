rule profile:
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
        code=PIPELINE.profile_code(),
    shell:
        "rfbench profile --output {output:q} 2> >(tee {log:q} >&2)"
