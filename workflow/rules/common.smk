# The configuration as the rules see it; the logic is in workflow/rfbench/pipeline.py.
from snakemake.exceptions import WorkflowError

from rfbench.errors import RFBenchError
from rfbench.pipeline import Pipeline

try:
    PIPELINE = Pipeline(config)
except RFBenchError as error:
    raise WorkflowError(str(error))

RESULTS, REPORTS, RUN = PIPELINE.results, PIPELINE.reports, PIPELINE.run
CONDA = "../../envs/conda.yaml"


wildcard_constraints:
    dataset="[A-Za-z0-9_-]+",
    pair="[a-z0-9_]+",
    seed=r"\d+",


onstart:
    try:
        PIPELINE.start()
    except RFBenchError as error:
        raise WorkflowError(str(error))
