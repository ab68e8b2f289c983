rule profile:
    input:
        [str(file) for pair in CONFIG["pairs"] for file in operators.files(pair)],
    output:
        f"{RESULTS}/profile.json",
    params:
        pairs=CONFIG["pairs"],
        model=CONFIG["model"],
        code=MODEL_CODE,
    threads: workflow.cores  # speed is measured alone
    resources:
        gpu=1,
    log:
        f"{RESULTS}/logs/profile.log",
    conda:
        CONDA
    shell:
        "rfbench profile --config '{CONFIG_FILE}' --output '{output}' 2> >(tee '{log}' >&2)"
