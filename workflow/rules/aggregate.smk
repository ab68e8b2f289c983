rule aggregate:
    input:
        every_run("evaluation.json"),
    output:
        f"{RESULTS}/metrics.csv",
    params:
        code=configuration.code_digest("rfbench/aggregate.py"),
    log:
        f"{RESULTS}/logs/aggregate.log",
    conda:
        CONDA
    shell:
        "rfbench aggregate --config '{CONFIG_FILE}' --output '{output}' 2> >(tee '{log}' >&2)"
