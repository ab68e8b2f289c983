rule tables:
    input:
        f"{RESULTS}/profile.json",
        f"{RESULTS}/differences.csv",
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
        "rfbench tables --metrics {input.metrics:q} --output {params.folder:q} 2> >(tee {log:q} >&2)"


rule verdicts:
    input:
        f"{RESULTS}/profile.json",
        metrics=f"{RESULTS}/metrics.csv",
    output:
        f"{REPORTS}/tables/claims.csv",
        multiext(f"{REPORTS}/tables/verdicts", ".csv", ".md", ".tex"),
        multiext(f"{REPORTS}/tables/power", ".csv", ".md", ".tex"),
    log:
        f"{RESULTS}/logs/verdicts.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("verdicts"),
        folder=subpath(output[0], parent=True),
    shell:
        "rfbench verdicts --metrics {input.metrics:q} --output {params.folder:q} 2> >(tee {log:q} >&2)"


rule figures:
    input:
        PIPELINE.every_run("curve.csv"),
        PIPELINE.every_run("pr_curves.csv"),
        f"{RESULTS}/profile.json",
        f"{RESULTS}/differences.csv",
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
        "rfbench figures --metrics {input.metrics:q} --output {params.folder:q} 2> >(tee {log:q} >&2)"


rule page:
    input:
        PIPELINE.every_run("curve.csv"),
        PIPELINE.every_run("pr_curves.csv"),
        PIPELINE.probe_files(),
        f"{RESULTS}/profile.json",
        f"{RESULTS}/differences.csv",
        metrics=f"{RESULTS}/metrics.csv",
    output:
        report(f"{REPORTS}/report.html", category="Results"),
    log:
        f"{RESULTS}/logs/page.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("page"),
    shell:
        "rfbench page --metrics {input.metrics:q} --output {output:q} 2> >(tee {log:q} >&2)"


rule costs:
    input:
        f"{RESULTS}/profile.json",
    output:
        f"{REPORTS}/tables/profile.csv",
        f"{REPORTS}/tables/profile.md",
        f"{REPORTS}/figures/profile_speed.png",
        f"{REPORTS}/figures/profile_speed.pdf",
    log:
        f"{RESULTS}/logs/costs.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("costs"),
        tables=subpath(output[0], parent=True),
        figures=subpath(output[2], parent=True),
    shell:
        "rfbench costs --profile {input:q} --tables {params.tables:q} --figures {params.figures:q}"
        " 2> >(tee {log:q} >&2)"
