rule lesions:
    input:
        f"{RESULTS}/data/{{dataset}}/manifest.csv",
    output:
        f"{RESULTS}/data/{{dataset}}/lesions.npz",
    log:
        f"{RESULTS}/logs/lesions/{{dataset}}.log",
    conda:
        CONDA
    params:
        settings=PIPELINE.lesion_digest,
        code=PIPELINE.code("lesions"),
    shell:
        "rfbench lesions --dataset {wildcards.dataset:q} --manifest {input:q} --output {output:q}"
        " 2> >(tee {log:q} >&2)"


rule evaluate:
    input:
        manifest=f"{RESULTS}/data/{{dataset}}/manifest.csv",
        record=f"{RUN}/train.json",
        weights=ancient(PIPELINE.weight_files),
    output:
        record=f"{RUN}/evaluation.json",
        evidence=f"{RUN}/evidence.npz",
        masks=f"{RUN}/masks.npz",
        per_image=f"{RUN}/per_image.csv",
        curves=f"{RUN}/pr_curves.csv",
        times=f"{RUN}/evaluation_times.json",
    log:
        f"{RESULTS}/logs/evaluate/{{dataset}}-{{pair}}-seed{{seed}}.log",
    conda:
        CONDA
    threads: PIPELINE.threads
    resources:
        gpu=PIPELINE.gpus,
        mem_mb=PIPELINE.training_memory,
        runtime=PIPELINE.evaluation_minutes,
    params:
        evaluation=PIPELINE.evaluation_digest,
        code=PIPELINE.run_code("evaluate"),
        work=f"{RUN}/work",
        weights=PIPELINE.weight_option,
    shell:
        "rfbench evaluate --dataset {wildcards.dataset:q} --pair {wildcards.pair:q}"
        " --seed {wildcards.seed:q} --manifest {input.manifest:q} --record {input.record:q} --work {params.work:q}"
        " {params.weights:q} --code {params.code:q} --output {output.record:q} 2> {log:q}"
