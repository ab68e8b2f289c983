rule evaluate:
    input:
        manifest=f"{RESULTS}/data/{{dataset}}/manifest.csv",
        record=f"{RUN}/train.json",
        weights=weight_file,
    output:
        record=f"{RUN}/evaluation.json",
        per_image=f"{RUN}/per_image.csv",
        times=f"{RUN}/evaluation_times.json",
    params:
        evaluation=lambda wildcards: configuration.digest(
            configuration.evaluation_settings(CONFIG, wildcards.dataset)
        ),
        code=EVALUATE_CODE,
        work=f"{RUN}/work",
        weights=weight_option,
    threads: CONFIG["recipe"]["threads"]
    resources:
        gpu=1,
    log:
        f"{RESULTS}/logs/evaluate/{{dataset}}-{{pair}}-seed{{seed}}.log",
    conda:
        CONDA
    shell:
        "rfbench evaluate --config '{CONFIG_FILE}' --dataset {wildcards.dataset} --pair {wildcards.pair}"
        " --seed {wildcards.seed} --manifest '{input.manifest}' --record '{input.record}' --work '{params.work}'"
        " {params.weights} --output '{output.record}' 2> '{log}'"
