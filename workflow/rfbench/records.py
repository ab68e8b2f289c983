"""The records of a run, train.json and evaluation.json, checked where they are read.

A record that is damaged, was edited by hand or was written by something else is refused by name, before a number of it
reaches a table.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, create_model

from rfbench import provenance
from rfbench.checked import Foreign, checked
from rfbench.names import METRICS, STATES

_Fraction = Annotated[float, Field(ge=0, le=1)] | None
_State = Annotated[str, Field(pattern=f"^({'|'.join(STATES)})$", description=f"one of {', '.join(STATES)}")]
_Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]  # UTC: in the order of time
_ByLesion = dict[str, _Fraction]
_Measured = create_model("_Measured", __base__=Foreign, **dict.fromkeys(METRICS, (_ByLesion, ...)))


class Origin(Foreign):
    """Where something was computed."""

    commit: str
    dirty: bool
    device: str
    python: str
    versions: dict[str, str]


_ORIGIN = Field(description="a mapping with commit, dirty, device, python and versions")


class _Identity(Foreign):
    settings: str
    manifest: str
    code: str


class _Record(Foreign):
    state: _State
    reason: str | None = Field(description="a text or null")
    settings: dict = Field(description="the run's settings")
    identity: _Identity = Field(description="a mapping with the digests settings, manifest and code")
    checkpoint_sha256: str | None = Field(description="a digest or null")
    provenance: Origin = _ORIGIN


class _Training(_Record):
    """train.json."""

    time_limit: float | None = Field(default=None, description="hours or null")


class _Evaluation(_Record):
    """evaluation.json of a run that was not evaluated, as its training did not end well."""

    evaluation: dict = Field(description="the evaluation's settings")
    training_provenance: Origin = _ORIGIN


class _Detail(Foreign):
    ap_error: Annotated[float, Field(ge=0)] | None
    aupr11_artefact: bool


class _Evaluated(_Evaluation):
    """evaluation.json with metrics."""

    metrics: _Measured = Field(description=f"by lesion fractions or null, of each of {', '.join(METRICS)}")
    details: dict[str, _Detail] = Field(description="by lesion a mapping with ap_error and aupr11_artefact")
    n_images: int = Field(gt=0, description="the number of images")
    lesions: dict[str, dict[str, Annotated[float, Field(ge=0)] | None]] = Field(
        default={}, description="metrics of lesions: by metric and lesion numbers or null"
    )
    untrained: _Measured | None = Field(default=None, description="metrics, as those of the trained network")


class _Failure(Foreign):
    reason: str = Field(description="a text")


class _Times(Foreign):
    seconds: float = Field(ge=0, description="a number of at least 0")
    finished: _Moment | None = Field(default=None, description="a time, as 2026-01-31T12:00:00+00:00, or null")


class _Prepared(Foreign):
    code: str = Field(description="a digest")


class _Finished(Foreign):
    record: _Training = Field(description="a training's record")
    times: _Times = Field(description="a mapping with seconds")


def read_training(path: Path) -> dict:
    """A training's record. Raises RFBenchError: there is none, or it is damaged."""
    return _read(path, _Training)


def read_evaluation(path: Path) -> dict:
    """An evaluation's record. Raises RFBenchError: there is none, or it is damaged."""
    record = _read(path, _Evaluation)
    return _read(path, _Evaluated) if record["state"] == "done" else record


def read_finished(path: Path) -> tuple[dict, dict]:
    """Record and times that a finished training keeps in its work folder. Raises RFBenchError: they are damaged."""
    kept = _read(path, _Finished)
    return kept["record"], kept["times"]


def read_error(path: Path) -> str:
    """The reason that a failed job left. Raises RFBenchError: its record is damaged."""
    return _read(path, _Failure)["reason"]


def read_seconds(path: Path) -> float:
    """How long a job took, from times.json or evaluation_times.json. Raises RFBenchError: the record is damaged."""
    return float(_read(path, _Times)["seconds"])


def read_moment(path: Path) -> str | None:
    """When a job ended (UTC), from evaluation_times.json; None of a version that did not say.

    Raises RFBenchError: the record is damaged.
    """
    return _read(path, _Times).get("finished")


def read_code(path: Path) -> str:
    """Digest of the code that prepared a data set. Raises RFBenchError: its record is damaged."""
    return _read(path, _Prepared)["code"]


def _read(path: Path, schema: type[Foreign]) -> dict:
    record = provenance.read_json(path)
    checked(schema, record, lambda key: f"{path}, {key}", "Delete it and run snakemake, which makes it again.")
    return record
