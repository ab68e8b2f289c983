rule aggregate:
    input:
        PIPELINE.every_run("evaluation.json"),
    output:
        f"{RESULTS}/metrics.csv",
    log:
        f"{RESULTS}/logs/aggregate.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("aggregate"),
    shell:
        "rfbench aggregate --output '{output}' 2> >(tee '{log}' >&2)"
