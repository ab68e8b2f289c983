rule ablation:
    input:
        f"{RESULTS}/metrics.csv",
    output:
        PIPELINE.ablation_files(),
    log:
        f"{RESULTS}/logs/ablation.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("ablation"),
        folder=REPORTS,
    shell:
        "rfbench ablation --metrics '{input}' --output '{params.folder}' 2> >(tee '{log}' >&2)"
