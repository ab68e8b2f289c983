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
        kept=PIPELINE.kept_digest(),
        recipe=PIPELINE.settings.recipe.name,
    shell:
        "rfbench aggregate --output {output:q} 2> >(tee {log:q} >&2)"


rule partial:
    log:
        f"{RESULTS}/logs/partial.log",
    conda:
        CONDA
    params:
        results=RESULTS,
        metrics=f"{RESULTS}/partial/metrics.csv",
        differences=f"{RESULTS}/partial/differences.csv",
        tables=f"{REPORTS}/partial/tables",
        figures=f"{REPORTS}/partial/figures",
        page=f"{REPORTS}/partial/report.html",
        probe=f"{REPORTS}/tables/probe.csv",
    shell:
        "(rfbench aggregate --output {params.metrics:q}"
        " && rfbench statistics --metrics {params.metrics:q} --results {params.results:q} --output {params.differences:q}"
        " && rfbench tables --metrics {params.metrics:q} --results {params.results:q} --output {params.tables:q}"
        " && rfbench verdicts --metrics {params.metrics:q} --results {params.results:q} --output {params.tables:q}"
        " && rfbench figures --metrics {params.metrics:q} --results {params.results:q} --output {params.figures:q}"
        " && rfbench page --metrics {params.metrics:q} --results {params.results:q} --output {params.page:q}"
        " --probe {params.probe:q}"
        ") 2> >(tee {log:q} >&2)"
