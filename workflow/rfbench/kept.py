"""What took hours is never repeated for a change of code alone without being asked.

A finished training or evaluation whose stage has other code by now would run again. Beyond `keep_hours` nothing
starts until a person decides: `rfbench keep` declares that the change alters no result, `retrain: true` runs it.
Decisions stand in results/kept.csv; the tables that show such runs say so.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from rfbench import provenance, records, runs, stages
from rfbench.errors import RFBenchError
from rfbench.files import kind, write_changed
from rfbench.rows import read_rows
from rfbench.settings import Settings

FIELDS = ("stage", "old", "new", "reason", "commit", "date")
UNKNOWN = "unknown"  # the code of records from before digests were kept


@dataclass(frozen=True)
class Repeat:
    """A finished run that a change of code would repeat: because of which stage, from which code to which, how long."""

    run: runs.Run
    stage: str
    old: str
    new: str
    seconds: float


def remember(results: str | Path, stage: str, competitor: str | None = None) -> str:
    """Keep the pieces of a stage's present code, to name later what has changed; returns the code's digest."""
    digest = stages.code_digest(stage, competitor)
    parts = json.dumps(stages.parts(stage, competitor), indent=1, sort_keys=True)
    write_changed(_pieces(results, digest), parts.encode())
    return digest


def _pieces(results: str | Path, digest: str) -> Path:
    return Path(results) / "code" / f"{digest}.json"


def read(results: str | Path) -> list[dict[str, str]]:
    """The decisions so far, one dict of FIELDS each. Raises RFBenchError: their file is damaged."""
    path = Path(results) / "kept.csv"
    if (found := kind(path)) == "nothing":
        return []
    try:
        if found != "a file":
            raise ValueError(found)
        header, rows = read_rows(path.read_bytes())
        if missing := [field for field in FIELDS if field not in header]:
            raise ValueError(f"no column {', '.join(missing)}")
        return [{field: row[field] for field in FIELDS} for _, row in rows]
    except (OSError, ValueError) as error:
        raise RFBenchError(
            f"{path}: expected the decisions of `rfbench keep` (CSV, UTF-8), found {error}. Restore the file, or "
            "delete it and decide again."
        ) from None


def keep(settings: Settings, why: str, date: str) -> list[dict[str, str]]:
    """Count every run that a change of code would repeat as current; returns the decisions made, dicts of FIELDS."""
    results, made = settings.results, []
    commit, dirty = provenance.commit()
    about = {"reason": why, "commit": commit + (" with uncommitted changes" if dirty else ""), "date": date}
    while found := repeats(settings):  # a stage that is kept lets the next one of the same run come to light
        changes = dict.fromkeys((repeat.stage, repeat.old, repeat.new) for repeat in found)
        made += [dict(zip(FIELDS, change, strict=False)) | about for change in changes]
        provenance.write_csv(Path(results) / "kept.csv", FIELDS, [*read(results), *made[-len(changes) :]])
    return made


def reason(rows: list[dict[str, str]], stage: str, old: str, new: str) -> str | None:
    """Why code `old` counts as the present one, by these decisions: empty if it is, None if nobody said so."""
    if old == new:
        return ""
    said = [row["reason"] for row in rows if (row["stage"], row["old"], row["new"]) == (stage, old, new)]
    return said[-1] if said else None


def repeats(settings: Settings) -> list[Repeat]:
    """The finished runs of a configuration that a change of code, kept by nobody, would repeat."""
    found, results = [], settings.results
    rows = read(results)
    for run in runs.configured(settings):
        try:
            codes = _codes(results, run)
        except RFBenchError:  # a damaged record, which `aggregate` names: it is no finished run
            continue
        for stage, old, new, seconds in codes:
            if reason(rows, stage, old, new) is None:
                found.append(Repeat(run, stage, old, new, seconds))
                break  # what follows is repeated with it
    return found


def notes(results: str, run: runs.Run) -> list[str]:
    """For a run of earlier code that somebody keeps: stage and reason."""
    rows = read(results)
    found = [(stage, reason(rows, stage, old, new)) for stage, old, new, _ in _codes(results, run)]
    return [f"{stage} of earlier code, kept: {why}" for stage, why in found if why]


def _codes(results: str, run: runs.Run) -> list[tuple[str, str, str, float]]:
    """Stage, code of the record, code of today, and seconds that repeating it would take, of finished stages."""
    trained = run.training_record()
    if trained is None:
        return []
    competitor = run.settings.pair
    evaluated = run.evaluation_record()
    training, evaluation = _seconds(run.folder / "times.json"), _seconds(run.folder / "evaluation_times.json")
    prepared = runs.manifest_path(results, run.dataset).with_name(runs.PREPARED)
    found = [
        ("prepare", _recorded(prepared), stages.code_digest("prepare"), training + evaluation),
        ("train", trained["identity"]["code"], stages.code_digest("train", competitor), training + evaluation),
    ]
    if evaluated:
        found.append(
            ("evaluate", evaluated.get("code", UNKNOWN), stages.code_digest("evaluate", competitor), evaluation)
        )
    return found


def _recorded(path: Path) -> str:
    return records.read_code(path) if path.exists() else UNKNOWN


def _seconds(path: Path) -> float:
    return records.read_seconds(path) if path.exists() else 0.0


def refusal(results: str | Path, found: list[Repeat], limit: float) -> str:
    """What a person must know to decide: runs, hours, what changed, and both ways on. Empty within `limit` hours."""
    hours = sum(repeat.seconds for repeat in found) / 3600
    if not found or hours <= limit:
        return ""
    names = [f"{repeat.run.dataset}/{repeat.run.competitor}/seed{repeat.run.seed}" for repeat in found]
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    changes = {(repeat.stage, repeat.old, repeat.new): repeat for repeat in found}
    lines = [f"  {repeat.stage}: {_changed(results, repeat)}" for repeat in changes.values()]
    return "\n".join(
        [
            f"Nothing was started: {len(found)} finished runs, {hours:.2g} hours of computing, would be repeated for a "
            f"change of code alone (keep_hours: {limit:g}).",
            f"Runs: {shown}",
            "Changed:",
            *dict.fromkeys(lines),
            'If the change alters no result: rfbench keep --because "why it does not".',
            "To compute them again: snakemake … --config retrain=true.",
        ]
    )


def _changed(results: str | Path, repeat: Repeat) -> str:
    """The files and functions in which the recorded code differs from today's."""
    path = _pieces(results, repeat.old)
    if not path.exists():
        return "unknown, as the code that these records were made with was not stored"
    competitor = None if repeat.stage == "prepare" else repeat.run.settings.pair
    names = stages.changed(provenance.read_json(path), stages.parts(repeat.stage, competitor))
    by_file: dict[str, list[str]] = {}
    for name in names:
        file, _, piece = name.partition(":")
        by_file.setdefault(file, []).append(piece)
    return "; ".join(f"{file} ({', '.join(filter(None, pieces)) or 'module'})" for file, pieces in by_file.items())
