rule tables:
    input:
        f"{RESULTS}/profile.json",
        metrics=f"{RESULTS}/metrics.csv",
    output:
        PIPELINE.table_files(),
    log:
        f"{RESULTS}/logs/tables.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("tables"),
        folder=PIPELINE.tables_folder,
    shell:
        "rfbench tables --metrics '{input.metrics}' --output '{params.folder}' 2> >(tee '{log}' >&2)"


rule figures:
    input:
        PIPELINE.every_run("curve.csv"),
        PIPELINE.every_run("pr_curves.csv"),
        f"{RESULTS}/profile.json",
        metrics=f"{RESULTS}/metrics.csv",
    output:
        f"{REPORTS}/figures/figures.txt",
    log:
        f"{RESULTS}/logs/figures.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("figures"),
        folder=subpath(output[0], parent=True),
    shell:
        "rfbench figures --metrics '{input.metrics}' --output '{params.folder}' 2> >(tee '{log}' >&2)"


rule partial:
    log:
        f"{RESULTS}/logs/partial.log",
    conda:
        CONDA
    params:
        results=RESULTS,
        metrics=f"{RESULTS}/partial/metrics.csv",
        folder=f"{REPORTS}/partial",
    shell:
        "(rfbench aggregate --output '{params.metrics}' &&"
        " for verb in tables figures; do"
        " rfbench $verb --metrics '{params.metrics}' --results '{params.results}' --output '{params.folder}'/$verb || exit 1;"
        " done) 2> >(tee '{log}' >&2)"
