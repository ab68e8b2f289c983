# What every configuration shares: the environment of the jobs, one Snakemake in a folder, errors in sentences.
from snakemake.exceptions import WorkflowError

from rfbench.errors import RFBenchError
from rfbench.pipeline import leave_signals_to_the_job, own_directory
from rfbench.settings import read

CONDA = "../../envs/conda.yaml"

if workflow.is_main_process:
    OWNED = own_directory()
if workflow.remote_exec:
    shell.prefix(leave_signals_to_the_job())


def readable(file):
    """A configuration's path, once its file can be read: of one that is not UTF-8, Snakemake shows a traceback."""
    try:
        read(file)
    except RFBenchError as error:
        raise WorkflowError(str(error))
    return file
