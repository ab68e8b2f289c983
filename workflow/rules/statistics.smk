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
        "rfbench statistics --metrics '{input}' --output '{output}' 2> >(tee '{log}' >&2)"
