# What every configuration shares: the environment of the jobs, one Snakemake in a folder, errors in sentences.
from snakemake.exceptions import WorkflowError

from rfbench.errors import RFBenchError
from rfbench.pipeline import own_directory

CONDA = "../../envs/conda.yaml"

if workflow.is_main_process:
    OWNED = own_directory()
