"""What a data set's runs say, in sentences that claim no more than the statistics do."""

import math

from rfbench.names import BASELINE_ROW

PRIMARY = "mAP"  # exact; mAUPR, which the papers print, stands beside it in the table


def sentences(name: str, synthetic: bool, rows: list[dict], learned: int | None, runs: int) -> list[str]:
    """What was found on one data set; the first sentence is the answer, the others are its grounds.

    Args:
        name: of the data set.
        synthetic: its images are drawn, so that nothing is ranked.
        rows: as `tables.rows_of` makes them.
        learned: runs with at least twice the mAP of their own network before training; None where that is unknown.
        runs: finished runs that `learned` counts among.
    """
    done, configured = (sum(row[key] for row in rows) for key in ("n", "configured"))
    found = []
    if synthetic:
        found.append("Synthetic images: the runs show that every stage works, and rank no operator.")
    elif not done:
        found.append("No run is done, so nothing is known yet.")
    else:
        found += _ranking(rows)
    found.append(f"{done} of {configured} runs are done.")
    if learned is not None:
        found.append(f"{learned} of {runs} networks have at least twice the mAP of their own start before training.")
    return found


def _ranking(rows: list[dict]) -> list[str]:
    rivals = [row for row in rows if row["ranked"] and not math.isnan(row["cells"][PRIMARY].mean)]
    if len(rivals) < 2:
        return ["Nothing is ranked: that takes two rows with two seeds or more, all of them done."]
    first, second, *_ = sorted(rivals, key=lambda row: row["cells"][PRIMARY].mean, reverse=True)
    best, next_best = first["cells"][PRIMARY], second["cells"][PRIMARY]
    if best.mark == "best":
        answer = f"{first['row']} is best in {PRIMARY}, {best.text}; {second['row']} follows with {next_best.text}."
        answer += " The difference is resolved."
    else:
        others = [row for row in rivals if row is not first]
        alike = [row for row in others if set(row["cells"][PRIMARY].letters) & set(best.letters)]
        answer = f"No best row is resolved: {first['row']} has the highest {PRIMARY}, {best.text}, then "
        answer += f"{second['row']}, {next_best.text}; {len(alike)} of the {len(others)} others cannot be told from it."
    return [answer, *_against_baseline(rivals, first)]


def _against_baseline(rivals: list[dict], first: dict) -> list[str]:
    """How many rows are told apart from the baseline, and the first row's difference to it."""
    baseline = next((row for row in rivals if row["row"] == BASELINE_ROW), None)
    if baseline is None:
        return [f"The baseline {BASELINE_ROW} is not among the complete rows, so none is compared with it."]
    own = baseline["cells"][PRIMARY]
    apart = [row["cells"][PRIMARY].mean > own.mean for row in rivals
             if row is not baseline and not set(row["cells"][PRIMARY].letters) & set(own.letters)]  # fmt: skip
    others = len(rivals) - 1
    told = f"Of the {others} other complete rows, {sum(apart)} lie resolved above and {len(apart) - sum(apart)} below "
    told += f"{BASELINE_ROW}; {others - len(apart)} cannot be told from it (Tukey, 95 %, retraining)."
    gap = first["differences"].get(PRIMARY)
    return [told] + ([f"{first['row']} − {BASELINE_ROW}: {gap.text} points of {PRIMARY}."] if gap else [])
