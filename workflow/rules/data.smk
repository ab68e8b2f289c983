rule prepare:
    output:
        manifest=f"{RESULTS}/data/{{dataset}}/manifest.csv",
        summary=f"{RESULTS}/data/{{dataset}}/summary.md",
        areas=f"{RESULTS}/data/{{dataset}}/areas.png",
    log:
        f"{RESULTS}/logs/prepare/{{dataset}}.log",
    conda:
        CONDA
    threads: 2
    params:
        arguments=PIPELINE.preparation,
        source=PIPELINE.source_fingerprint,
        code=PIPELINE.code("data"),
        folder=subpath(output.manifest, parent=True),
    shell:
        "rfbench prepare {params.arguments} {PIPELINE.store_option} --output '{params.folder}' 2> >(tee '{log}' >&2)"


rule weights:
    output:
        f"{RESULTS}/weights/{{sha256}}.pth",
    log:
        f"{RESULTS}/logs/weights/{{sha256}}.log",
    conda:
        CONDA
    params:
        source=PIPELINE.weight_source,
    shell:
        "rfbench weights --source '{params.source}' --sha256 {wildcards.sha256} --output '{output}' 2> >(tee '{log}' >&2)"
