def preparation(wildcards):
    """Arguments of `rfbench prepare` for one data set."""
    return configuration.preparation(CONFIG["datasets"][wildcards.dataset])


def source_fingerprint(wildcards):
    """Digest of a real archive's table of contents: its content counts, neither its date nor its place."""
    dataset = CONFIG["datasets"][wildcards.dataset]
    return "" if dataset["kind"] == "synthetic" else configuration.source_fingerprint(dataset)


rule prepare:
    output:
        manifest=f"{RESULTS}/data/{{dataset}}/manifest.csv",
        summary=f"{RESULTS}/data/{{dataset}}/summary.md",
        areas=f"{RESULTS}/data/{{dataset}}/areas.png",
    params:
        arguments=preparation,
        source=source_fingerprint,
        code=DATA_CODE,
        folder=f"{RESULTS}/data/{{dataset}}",
    threads: 2
    log:
        f"{RESULTS}/logs/prepare/{{dataset}}.log",
    conda:
        CONDA
    shell:
        "rfbench prepare {params.arguments} --output '{params.folder}' 2> >(tee '{log}' >&2)"


rule weights:
    output:
        f"{RESULTS}/weights/{{sha256}}.pth",
    params:
        source=lambda wildcards: CONFIG["model"]["pretrained"]["source"],
    log:
        f"{RESULTS}/logs/weights/{{sha256}}.log",
    conda:
        CONDA
    shell:
        "rfbench weights --source '{params.source}' --sha256 {wildcards.sha256} --output '{output}' 2> >(tee '{log}' >&2)"
