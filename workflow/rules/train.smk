rule train:
    input:
        manifest=f"{RESULTS}/data/{{dataset}}/manifest.csv",
        weights=ancient(PIPELINE.weight_files),
    output:
        record=f"{RUN}/train.json",
        curve=f"{RUN}/curve.csv",
        times=f"{RUN}/times.json",
    log:
        f"{RESULTS}/logs/train/{{dataset}}-{{pair}}-seed{{seed}}.log",
    conda:
        CONDA
    threads: PIPELINE.training_cores
    resources:
        gpu=PIPELINE.training_gpus,
        mem_mb=PIPELINE.training_memory,
        runtime=PIPELINE.training_minutes,
    params:
        settings=PIPELINE.run_digest,
        code=PIPELINE.run_code("train"),
        continuations=PIPELINE.continuations,
        work=f"{RUN}/work",
        weights=PIPELINE.weight_option,
    shell:
        "rfbench train --dataset {wildcards.dataset:q} --pair {wildcards.pair:q}"
        " --seed {wildcards.seed:q} --manifest {input.manifest:q} --work {params.work:q} {params.weights:q}"
        " --output {output.record:q} 2> {log:q}"
