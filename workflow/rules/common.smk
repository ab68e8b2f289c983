# The configuration as the rules see it; the logic is in workflow/rfbench/pipeline.py.
from snakemake.exceptions import WorkflowError

from rfbench.errors import RFBenchError
from rfbench.pipeline import Pipeline, own_directory

try:
    PIPELINE = Pipeline(config, workflow.configfiles)
except RFBenchError as error:
    raise WorkflowError(str(error))

if workflow.is_main_process:
    OWNED = own_directory()

RESULTS, REPORTS, RUN = PIPELINE.results, PIPELINE.reports, PIPELINE.run
CONDA = "../../envs/conda.yaml"

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
