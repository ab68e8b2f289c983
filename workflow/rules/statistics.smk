rule statistics:
    input:
        f"{RESULTS}/metrics.csv",
    output:
        f"{RESULTS}/differences.csv",
    log:
        f"{RESULTS}/logs/statistics.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("statistics"),
    shell:
        "rfbench statistics --metrics {input:q} --output {output:q} 2> >(tee {log:q} >&2)"
