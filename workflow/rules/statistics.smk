rule statistics:
    input:
        PIPELINE.every_run("evidence.npz"),
        PIPELINE.lesion_files(),
        metrics=f"{RESULTS}/metrics.csv",
    output:
        f"{RESULTS}/differences.csv",
    log:
        f"{RESULTS}/logs/statistics.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("statistics"),
    shell:
        "rfbench statistics --metrics {input.metrics:q} --output {output:q} 2> >(tee {log:q} >&2)"
