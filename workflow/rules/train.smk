rule train:
    input:
        manifest=f"{RESULTS}/data/{{dataset}}/manifest.csv",
        operators=operator_files,
        weights=weight_file,
    output:
        record=f"{RUN}/train.json",
        curve=f"{RUN}/curve.csv",
        times=f"{RUN}/times.json",
    params:
        settings=run_digest,
        code=[TRAIN_CODE, MODEL_CODE],
        work=f"{RUN}/work",
        weights=weight_option,
    threads: CONFIG["recipe"]["threads"]
    resources:
        gpu=1,
    log:
        f"{RESULTS}/logs/train/{{dataset}}-{{pair}}-seed{{seed}}.log",
    conda:
        CONDA
    shell:
        "rfbench train --config '{CONFIG_FILE}' --dataset {wildcards.dataset} --pair {wildcards.pair}"
        " --seed {wildcards.seed} --manifest '{input.manifest}' --work '{params.work}' {params.weights}"
        " --output '{output.record}' 2> '{log}'"
