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
        "rfbench ablation --metrics {input:q} --output {params.folder:q} 2> >(tee {log:q} >&2)"
