# The probe (docs/probe.md). A job is a group of runs – an operator pair, or a control, in one arm – so that starting
# Python costs little; each run has a record of its own.
from rfbench.probe.pipeline import ProbePipeline

try:
    PROBE = ProbePipeline(config, workflow.basedir)
except RFBenchError as error:
    raise WorkflowError(str(error))


wildcard_constraints:
    network="[a-z0-9_]+",
    change="[a-z0-9_]+",


if PROBE.alone:

    onstart:
        try:
            PROBE.start()
        except RFBenchError as error:
            raise WorkflowError(str(error))


rule probe_fusion:
    output:
        f"{PROBE.results}/runs/{{arm}}/{{network}}/group.json",
    log:
        f"{PROBE.results}/logs/{{arm}}-{{network}}.log",
    wildcard_constraints:
        arm="fusion",
    priority: 3
    conda:
        CONDA
    resources:
        config=PROBE.config_file,
    params:
        protocol=PROBE.protocol_digest,
        code=PROBE.group_code,
    shell:
        "rfbench probe --config {resources.config:q} --group {wildcards.arm}/{wildcards.network} 2> {log:q}"


use rule probe_fusion as probe_serial with:
    wildcard_constraints:
        arm="serial",
    priority: 1


rule probe_copy:
    input:
        PROBE.own_summaries,
    output:
        f"{PROBE.results}/runs/{{arm}}/{{network}}--{{change}}/group.json",
    log:
        f"{PROBE.results}/logs/{{arm}}-{{network}}-{{change}}.log",
    wildcard_constraints:
        arm="fusion|serial",
    priority: 2
    conda:
        CONDA
    resources:
        config=PROBE.config_file,
    params:
        protocol=PROBE.protocol_digest,
        code=PROBE.group_code,
    shell:
        "rfbench probe --config {resources.config:q} --group {wildcards.arm}/{wildcards.network}--{wildcards.change}"
        " 2> {log:q}"


rule probe:
    input:
        PROBE.summaries,
    output:
        PROBE.outcome,
    log:
        f"{PROBE.results}/logs/report.log",
    conda:
        CONDA
    resources:
        config=PROBE.config_file,
    params:
        protocol=PROBE.protocol_digest,
        code=PROBE.code("probe-report"),
    shell:
        "rfbench probe-report --config {resources.config:q} 2> >(tee {log:q} >&2)"
