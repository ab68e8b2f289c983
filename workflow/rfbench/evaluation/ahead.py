"""The evaluation that a training's process leaves for the evaluation's own job. No torch.

A process that computes takes some three seconds of CPU to start, in the embedded benchmark more than an evaluation
itself. So the process that has trained a network evaluates it at once, into a folder of the work folder; the job of the
rule `evaluate` takes what it finds there, if it is of this very network, evaluation and code, and else computes.
"""

import shutil
from pathlib import Path

from rfbench import provenance, records
from rfbench.settings import EvaluationSettings

FOLDER = "evaluation"
RECORD = "evaluation.json"
BESIDE = ("evidence.npz", "masks.npz", "per_image.csv", "pr_curves.csv", "evaluation_times.json")


def take(training: dict, evaluation: EvaluationSettings, code: str, *, work: Path, output: Path) -> dict | None:
    """Publish what the training's process evaluated as the evaluation's output, the record last.

    Args:
        training: the training's record.
        evaluation: how the run is evaluated.
        code: digest of the evaluation's code (`stages.code_digest`).
        work: the training's work folder.
        output: the record to write; the other files go beside it.

    Returns:
        The record; None where there is none, or one of another network, evaluation or code.
    """
    folder = work / FOLDER
    files = [folder / name for name in (RECORD, *BESIDE)]
    if not all(file.is_file() for file in files):
        return None
    record = records.read_evaluation(folder / RECORD)
    wanted = {key: training[key] for key in ("state", "settings", "identity", "checkpoint_sha256")}
    wanted |= {"evaluation": evaluation.model_dump(mode="json"), "code": code}
    if any(record.get(key) != value for key, value in wanted.items()):
        return None
    output.parent.mkdir(parents=True, exist_ok=True)
    for name in BESIDE:
        shutil.copyfile(folder / name, output.with_name(name))
    provenance.write_json(output, record)
    return record
