# What every rule shares: the complete configuration, paths, and the digests that decide what runs again.
import sys

import yaml
from snakemake.exceptions import WorkflowError

import operators
from rfbench import config as configuration
from rfbench.errors import RFBenchError
from rfbench.provenance import write_text

try:
    CONFIG = configuration.complete(config)
except RFBenchError as error:
    raise WorkflowError(str(error))

missing = configuration.missing_sources(CONFIG)
if missing and not workflow.dryrun and workflow.is_main_process:
    raise WorkflowError("\n".join(missing))
for sentence in missing:
    print(f"warning: {sentence}", file=sys.stderr)

RESULTS, REPORTS = CONFIG["results"], CONFIG["reports"]
RUN = f"{RESULTS}/runs/{{dataset}}/{{pair}}/seed{{seed}}"
# The jobs read the complete configuration from here. Its name changes with its content, so that a job that
# waits in a queue never reads another configuration; it is no input, since each rule's params name what matters.
CONFIG_FILE = f"{RESULTS}/configurations/{configuration.digest(CONFIG)}.yaml"
CONDA = "../../envs/conda.yaml"

# Library code by stage: a changed digest runs the stage again, a touched file does not.
DATA_CODE = configuration.code_digest("rfbench/data/*.py")
MODEL_CODE = configuration.code_digest("rfbench/models/*.py", "rfbench/reassembly.py", "operators/__init__.py")
TRAIN_CODE = configuration.code_digest(
    "rfbench/train.py", "rfbench/losses.py", "rfbench/checkpoint.py", "rfbench/data/training.py"
)
EVALUATE_CODE = configuration.code_digest("rfbench/evaluate.py", "rfbench/metrics.py", "rfbench/checkpoint.py")
TABLE_CODE = configuration.code_digest("rfbench/tables.py", "rfbench/templates/*", "rfbench/published.csv")


wildcard_constraints:
    dataset="[A-Za-z0-9_-]+",
    pair="[a-z0-9_]+",
    seed=r"\d+",


onstart:
    write_text(CONFIG_FILE, yaml.safe_dump(CONFIG, sort_keys=False))


def operator_files(wildcards):
    """Sources of the run's own operators: editing another operator leaves the run alone."""
    return [str(file) for file in operators.files(wildcards.pair)]


def weight_file(wildcards):
    """The ImageNet checkpoint, where the configuration names one."""
    pretrained = CONFIG["model"]["pretrained"]
    return [] if pretrained == "none" else [f"{RESULTS}/weights/{pretrained['sha256']}.pth"]


def weight_option(wildcards, input):
    """Command line option for the ImageNet checkpoint."""
    return f"--weights {input.weights}" if input.weights else ""


def run_digest(wildcards):
    """Digest of everything in the configuration that can change this run's numbers."""
    settings = configuration.run_settings(CONFIG, wildcards.dataset, wildcards.pair, int(wildcards.seed))
    return configuration.digest(settings)


def every_run(name):
    """One file of each configured run."""
    return expand(f"{RUN}/{name}", dataset=CONFIG["datasets"], pair=CONFIG["pairs"], seed=CONFIG["seeds"])
