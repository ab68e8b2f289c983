"""`rfbench plan --detect`: seeds and hours of a difference, from measured or assumed spreads."""

from argparse import Namespace

import pandas as pd
import pytest
import yaml
from rich.console import Console

from rfbench import cli
from rfbench.commands import plan as command
from rfbench.errors import RFBenchError
from rfbench.planning import detect, estimate
from rfbench.report.reading import COLUMNS
from rfbench.settings import Settings
from rfbench.statistics import power

from ..checkout import SMALLEST
from .test_plan import IMAGES, NETWORK, settings


def measured(made: Settings) -> dict:
    """A fabricated sample of the machine: M2MRF's steps take twice as long as the baseline's."""
    slow = NETWORK | {"update": tuple(2 * value for value in NETWORK["update"])}
    networks = {"strideconv_bilinear": NETWORK, "m2mrf_c": slow}
    return {"networks": networks, "images": {"SYN-IDRiD": IMAGES}, "start": 3.0, "device": "cpu"}


def write_metrics(made: Settings, scores: dict[str, list[float]], dataset: str = "SYN-IDRiD") -> None:
    """metrics.csv of the configuration with these mAP, in percent."""
    rows = [
        {**dict.fromkeys(COLUMNS, ""), "dataset": dataset, "pair": pair, "seed": seed, "metric": "ap", "lesion": "mean",
         "value": value / 100, "state": "done", "n": 3, "layout": "idrid",
         "synthetic": True}
        for pair, values in scores.items() for seed, value in enumerate(values)
    ]  # fmt: skip
    pd.DataFrame(rows, columns=COLUMNS).to_csv(f"{made.results}/metrics.csv", index=False)


def test_hours_are_those_of_every_pair_once_times_the_seeds(tmp_path):
    made = settings(tmp_path, workers=8)
    rows = detect.detection(made, sample := measured(made), 1.0)
    section = made.datasets["SYN-IDRiD"]
    once = sum(
        estimate.training_seconds(section, made.recipe, sample["networks"][pair], IMAGES)
        + estimate.evaluation_seconds(section, made.evaluation, sample["networks"][pair], IMAGES)
        + 6.0
        for pair in made.pairs
    )
    assert [(row["source"], row["sd"]) for row in rows] == [("assumed", 0.4), ("assumed", 0.7), ("assumed", 1.4)]
    for row in rows:
        assert row["seeds"] == power.seeds_for(1.0, row["sd"], 2)
        assert row["runs"] == 2 * row["seeds"]
        assert row["hours"] == pytest.approx(row["seeds"] * once / 3600)
        assert row["seeds_holm"] == row["seeds"], "of two pairs there is one comparison"


def test_finished_runs_give_the_spread(tmp_path):
    made = settings(tmp_path)
    write_metrics(made, {"strideconv_bilinear": [60.0, 61.0, 60.2], "m2mrf_c": [62.0, 62.1, 61.4]})
    rows = detect.detection(made, measured(made), 1.0)
    differences = pd.Series([2.0, 1.1, 1.2])
    s = differences.std() / 2**0.5  # of two pairs: the paired differences' SD over √2
    assert [row["source"] for row in rows] == ["measured", "measured, low end", "measured, high end"]
    assert [row["sd"] for row in rows] == pytest.approx([s, *power.sd_interval(s, 2)])
    assert rows[1]["seeds"] <= rows[0]["seeds"] <= rows[2]["seeds"]


@pytest.mark.parametrize("scores", [{"m2mrf_c": [60.0]}, {"m2mrf_c": [60.0], "strideconv_bilinear": [61.0]}])
def test_single_runs_give_no_spread(tmp_path, scores):
    made = settings(tmp_path)
    write_metrics(made, scores)
    assert {row["source"] for row in detect.detection(made, measured(made), 1.0)} == {"assumed"}
    write_metrics(made, {"m2mrf_c": [60.0, 61.0]}, dataset="another")
    assert {row["source"] for row in detect.detection(made, measured(made), 1.0)} == {"assumed"}


def test_what_no_seeds_show_has_no_number(tmp_path):
    rows = detect.detection(made := settings(tmp_path), measured(made), 0.01)
    assert rows[-1]["seeds"] is rows[-1]["hours"] is rows[-1]["runs_holm"] is None


def test_it_is_printed(tmp_path, capsys):
    made = settings(tmp_path)
    report = {"points": 1.0, "measured": measured(made), "detect": detect.detection(made, measured(made), 1.0)}
    command.show_detection(report, Console(width=120))
    shown = capsys.readouterr().out
    assert "To show a difference of 1 points in mAP to the baseline with power 0.8" in shown
    assert "0.70 assumed" in shown
    report["detect"] = detect.detection(made, measured(made), 0.01)
    command.show_detection(report, Console(width=120))
    assert "–" in capsys.readouterr().out


@pytest.mark.parametrize("points", ["0", "-1", "nan", "inf"])
def test_no_difference_has_no_price(points, tmp_path, capsys):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALLEST))
    assert cli.main(["plan", str(path), f"--detect={points}"]) == 1
    assert "--detect: expected a difference above 0 in percentage points" in capsys.readouterr().err


def test_one_pair_compares_with_nobody(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALLEST | {"pairs": ["m2mrf_c"]}))
    with pytest.raises(RFBenchError, match="--detect: expected two pairs or methods"):
        command.run(Namespace(config=path, jobs=1, detect=1.0, device=None, json=False))
