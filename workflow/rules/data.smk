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
    resources:
        store=PIPELINE.store,
    params:
        arguments=PIPELINE.preparation,
        source=PIPELINE.source_fingerprint,
        code=PIPELINE.code("prepare"),
        folder=subpath(output.manifest, parent=True),
    shell:
        "rfbench prepare {params.arguments:q} --store {resources.store:q} --output {params.folder:q} 2> >(tee {log:q} >&2)"


rule weights:
    output:
        f"{RESULTS}/weights/{{name}}.pth",
    log:
        f"{RESULTS}/logs/weights/{{name}}.log",
    localrule: True  # a cluster's nodes may have no network
    conda:
        CONDA
    params:
        sha256=PIPELINE.weight_digest,
    shell:
        "rfbench weights --output {output:q} 2> >(tee {log:q} >&2)"
