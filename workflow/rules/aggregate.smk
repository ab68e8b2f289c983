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
        folder=f"{REPORTS}/partial",
    shell:
        "(rfbench aggregate --output {params.metrics:q} &&"
        " for verb in tables figures; do"
        " rfbench $verb --metrics {params.metrics:q} --results {params.results:q} --output {params.folder:q}/$verb || exit 1;"
        " done &&"
        " rfbench page --metrics {params.metrics:q} --results {params.results:q} --output {params.folder:q}/report.html)"
        " 2> >(tee {log:q} >&2)"
