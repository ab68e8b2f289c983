rule train:
    input:
        manifest=f"{RESULTS}/data/{{dataset}}/manifest.csv",
        weights=PIPELINE.weight_files,
    output:
        record=f"{RUN}/train.json",
        curve=f"{RUN}/curve.csv",
        times=f"{RUN}/times.json",
    log:
        f"{RESULTS}/logs/train/{{dataset}}-{{pair}}-seed{{seed}}.log",
    conda:
        CONDA
    threads: PIPELINE.threads
    resources:
        gpu=PIPELINE.gpus,
    params:
        settings=PIPELINE.run_digest,
        code=PIPELINE.run_code("train"),
        continuations=PIPELINE.continuations,
        work=f"{RUN}/work",
        weights=PIPELINE.weight_option,
    shell:
        "rfbench train --dataset {wildcards.dataset} --pair {wildcards.pair}"
        " --seed {wildcards.seed} --manifest '{input.manifest}' --work '{params.work}' {params.weights}"
        " --output '{output.record}' 2> '{log}'"
