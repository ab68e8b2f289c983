# The configuration as the rules see it; the logic is in workflow/rfbench/pipeline.py.
from rfbench.pipeline import Pipeline

try:
    PIPELINE = Pipeline(config, workflow.configfiles)
except RFBenchError as error:
    raise WorkflowError(str(error))

RESULTS, REPORTS, RUN = PIPELINE.results, PIPELINE.reports, PIPELINE.run

# `gpu=1` on a rule limits nothing by itself. --resources gpu=N, or a profile's, wins.
workflow.global_resources.setdefault("gpu", PIPELINE.gpu_pool)


wildcard_constraints:
    dataset="[A-Za-z0-9_-]+",
    pair="[a-z0-9_]+",
    seed=r"\d+",


onstart:
    try:
        PIPELINE.start()
    except RFBenchError as error:
        raise WorkflowError(str(error))
