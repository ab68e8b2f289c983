# The examples with their photographs: a target of its own, since they stay where the photographs may be.
rule panels:
    input:
        PIPELINE.lowest_seed("masks.npz"),
        PIPELINE.lowest_seed("per_image.csv"),
        PIPELINE.lesion_files(),
        metrics=f"{RESULTS}/metrics.csv",
    output:
        page=f"{REPORTS}/panels.html",
        list=f"{REPORTS}/panels.csv",
        figures=f"{REPORTS}/figures/panels.txt",
    log:
        f"{RESULTS}/logs/panels.log",
    conda:
        CONDA
    params:
        code=PIPELINE.code("panels"),
        photographs=PIPELINE.photographs_digest(),
    shell:
        "rfbench panels --metrics {input.metrics:q} --output {output.page:q} 2> >(tee {log:q} >&2)"
