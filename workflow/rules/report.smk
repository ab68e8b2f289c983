rule tables:
    input:
        f"{RESULTS}/metrics.csv",
    output:
        expand(f"{REPORTS}/tables/table5.{{kind}}", kind=["csv", "md", "tex"]),
    params:
        code=TABLE_CODE,
        folder=f"{REPORTS}/tables",
    log:
        f"{RESULTS}/logs/tables.log",
    conda:
        CONDA
    shell:
        "rfbench tables --metrics '{input}' --output '{params.folder}' 2> >(tee '{log}' >&2)"
