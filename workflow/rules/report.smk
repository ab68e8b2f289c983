rule tables:
    input:
        f"{RESULTS}/metrics.csv",
    output:
        expand(f"{REPORTS}/tables/table5.{{kind}}", kind=["csv", "md", "tex"]),
    log:
        f"{RESULTS}/logs/tables.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("tables"),
        folder=subpath(output[0], parent=True),
    shell:
        "rfbench tables --metrics '{input}' --output '{params.folder}' 2> >(tee '{log}' >&2)"
