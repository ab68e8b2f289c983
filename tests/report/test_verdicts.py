"""Verdicts on all 927 published cells and the claims, from metrics files that are known to agree or not."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rfbench.names import BASELINE_ROW
from rfbench.report import verdicts as report
from rfbench.statistics import verdicts

from .published_like import published_like
from .test_tables import assert_compiles, needs_latex

PROFILE = {
    "pairs": {
        "strideconv_bilinear": {"row": BASELINE_ROW, "params_w48": 65_847_000},
        "m2mrf_c": {"row": "M2MRF-C", "params_w48": 71_000_000},
    }
}


def judged(metrics: pd.DataFrame, profile: dict | None = None) -> pd.DataFrame:
    """The verdicts; there are always 927."""
    cells = report.cells(report.read_ours(metrics, profile))
    assert list(cells.columns) == report.CELLS
    assert len(cells) == 927
    assert set(cells["verdict"]) <= set(verdicts.VERDICTS)
    return cells


def table5(cells: pd.DataFrame, **equal) -> pd.DataFrame:
    """Cells of Table 5 of the second version."""
    own = cells[(cells["source"] == "arxiv-v2") & (cells["table"] == "5")]
    for column, value in equal.items():
        own = own[own[column] == value]
    return own


def test_runs_with_the_published_means_are_inside():
    cells = judged(published_like())
    assert set(table5(cells)["verdict"]) == {"inside"}
    single = cells[(cells["source"] == "arxiv-v2") & (cells["table"] == "6") & (cells["row"] == "M2MRF-C")]
    assert len(single) == 15, "four lesions and the mean, three metrics"
    assert set(single["verdict"]) == {"inside"}
    assert (single["margin"][single["lesion"] != "mean"] == 2).all()


def test_a_whole_network_that_is_a_pair_here_is_judged_by_it():
    cells = judged(published_like())
    own = cells[(cells["source"] == "arxiv-v2") & (cells["row"] == "HRNetV2") & (cells["dataset"] == "IDRiD")]
    assert set(own.loc[own["lesion"] == "mean", "verdict"]) == {"inside"}


def test_the_columns_are_the_formula():
    cells = judged(published_like(sd=0.4))
    row = table5(cells, row="M2MRF-C", metric="mAUPR").iloc[0]
    values = published_like(sd=0.4).query("metric == 'aupr11' and lesion == 'mean'")
    scores = 100 * values["value"].to_numpy().reshape(12, 3)
    residual = scores - scores.mean(1, keepdims=True) - scores.mean(0) + scores.mean()
    s = np.sqrt((residual**2).sum() / 22)
    own = 100 * values.loc[values["row"] == "M2MRF-C", "value"].mean()
    half = stats.t.ppf(1 - 0.025 / 3, 22) * s * np.sqrt(2 / 3)
    assert (row["ours"], row["difference"], row["sd"], row["df"]) == pytest.approx((own, own - 67.24, s, 22))
    assert (row["low"], row["high"]) == pytest.approx((own - 67.24 - half, own - 67.24 + half))
    assert (row["n"], row["margin"]) == (3, 1.1)


def test_runs_that_miss_by_five_points_are_outside():
    cells = judged(published_like(shift=-5))
    assert set(table5(cells)["verdict"]) == {"outside"}


def test_noise_cannot_tell():
    cells = judged(published_like(sd=5))
    assert set(table5(cells)["verdict"]) == {"cannot tell"}


def test_what_was_not_run_stays_in_the_denominator():
    cells = judged(published_like())
    assert set(cells.loc[cells["dataset"] == "DDR", "verdict"]) == {"not run", "not comparable"}
    nothing = judged(published_like(states={(row, 0): "missing" for row in table5(cells)["row"]}, seeds=(0,)))
    assert set(table5(nothing)["verdict"]) == {"not run"}
    assert set(nothing["verdict"]) == {"not run", "not comparable"}


def test_deviations_are_not_comparable():
    cells = judged(published_like(deviations="no ImageNet weights"))
    own = table5(cells)
    assert set(own["verdict"]) == {"not comparable"}
    assert set(own["reason"]) == {"deviations from the protocol: no ImageNet weights"}
    assert own["ours"].isna().all()


def test_synthetic_data_and_validation_images_are_no_run():
    for columns in ({"synthetic": True}, {"split": "val"}, {"layout": "folder"}):
        assert set(table5(judged(published_like(**columns)))["verdict"]) == {"not run"}


def test_a_diverged_seed_cannot_tell_whatever_the_others_say():
    cells = judged(published_like(seeds=(0, 1, 2, 3), states={("M2MRF-C", 3): "diverged"}))
    own = table5(cells, row="M2MRF-C")
    assert set(own["verdict"]) == {"cannot tell"}
    assert set(own["reason"]) == {"seed 3 diverged"}
    assert set(table5(cells, row="M2MRF-A")["verdict"]) == {"inside"}
    alone = judged(published_like(seeds=(0,), states={("M2MRF-C", 0): "diverged"}))
    assert set(table5(alone, row="M2MRF-C")["verdict"]) == {"cannot tell"}, "it was run"


def test_seeds_that_were_chosen_cannot_tell():
    cells = judged(published_like(seeds=(4, 7, 9)))
    assert set(table5(cells)["verdict"]) == {"cannot tell"}
    assert set(table5(cells)["reason"]) == {"configured seeds are 4, 7, 9, not 0 to 2"}


def test_seeds_between_two_looks_do_not_count():
    metrics = published_like(seeds=(0, 1, 2, 3))
    metrics.loc[metrics["seed"] == 3, "value"] += 0.2  # twenty points off, and unseen
    own = table5(judged(metrics))
    assert set(own["verdict"]) == {"inside"}
    assert set(own["n"]) == {3}


def test_best_of_three_numbers_from_elsewhere_and_speeds_have_no_verdict():
    cells = judged(published_like())
    for part, reason in (
        (cells[cells["aggregation"] == "best_of_3"], "best of three runs"),
        (cells[cells["aggregation"] == "published_elsewhere"], "taken by the papers from elsewhere"),
        (cells[cells["metric"] == "fps"], "speed of the authors' machine"),
    ):
        assert len(part) > 0
        assert set(part["verdict"]) == {"not comparable"}
        assert part["reason"].str.startswith(reason).all()


def test_parameters_are_the_published_ones_or_not():
    cells = judged(published_like(), PROFILE)
    params = cells[cells["metric"] == "params_M"].set_index("row")["verdict"]
    assert set(params[BASELINE_ROW]) == {"inside"}
    assert set(np.atleast_1d(params["M2MRF-C"])) == {"outside"}
    assert set(np.atleast_1d(params["A2U/A2U"])) == {"not run"}


def test_a_sweep_is_held_against_table_1():
    metrics = published_like()
    own = metrics[metrics["row"] == "M2MRF-C"].assign(
        dataset="DDR", layout="ddr", split="val", base="m2mrf-c", row="M2MRF-C, alpha 32",
        options="patch_size=8 reduction=4 alpha=32",
    )  # fmt: skip
    own.loc[own["metric"] == "aupr11", "value"] = 0.6034
    own.loc[own["metric"] == "iou", "value"] = 0.50
    cells = judged(pd.concat([metrics, own]))
    found = cells[(cells["kind"] == "ablation") & (cells["alpha"] == 32)].set_index(["source", "metric"])["verdict"]
    assert found["arxiv-v2", "mAUPR"] == "inside"
    assert found["arxiv-v2", "mIoU"] == "outside"
    assert found["arxiv-v1", "mAUPR"] == "inside"
    rest = cells[(cells["kind"] == "ablation") & (cells["alpha"] != 32)]
    assert set(rest["verdict"]) == {"not run"}


# Claims


def claimed(metrics: pd.DataFrame) -> pd.DataFrame:
    """The claims on Table 5 by row and metric."""
    claims = report.claims(report.read_ours(metrics, None))
    assert list(claims.columns) == report.CLAIM
    assert (claims["published_gain"] > 0).all()
    assert set(claims["table"]) == {"2-DS", "2-US", "3", "5"}
    return claims[claims["table"] == "5"].set_index(["row", "metric"])


def test_published_gains_are_claims_and_losses_are_not():
    claims = claimed(published_like())
    assert ("LIP/Bilinear", "mAUPR") not in claims.index, "below the baseline in the paper"
    assert claims.loc[("M2MRF-C", "mAUPR"), "published_gain"] == pytest.approx(2.23)


def test_runs_with_the_published_means_confirm_the_gains():
    claims = claimed(published_like())
    row = claims.loc[("M2MRF-C", "mAUPR")]
    assert (row["claim"], row["n"]) == ("confirmed", 3)
    assert row["low"] < row["gain"] < row["high"]
    assert row["gain"] == pytest.approx(2.23, abs=0.1)


def test_without_the_gain_they_are_contradicted_and_with_noise_open():
    metrics = published_like()
    metrics.loc[metrics["row"] == "M2MRF-C", "value"] -= 0.0223
    assert claimed(metrics).loc[("M2MRF-C", "mAUPR"), "claim"] == "contradicted"
    assert claimed(published_like(sd=5)).loc[("M2MRF-C", "mAUPR"), "claim"] == "open"


def test_claims_need_the_baseline_and_all_seeds():
    for options, state in (
        ({"states": {(BASELINE_ROW, seed): "missing" for seed in (0, 1, 2)}}, "not run"),
        ({"states": {("M2MRF-C", 1): "diverged"}}, "open"),
        ({"states": {(BASELINE_ROW, 1): "timeout"}}, "open"),
        ({"deviations": "scale 100x50"}, "not comparable"),
    ):
        row = claimed(published_like(**options)).loc[("M2MRF-C", "mAUPR")]
        assert row["claim"] == state
        assert row["reason"]


# The command


def test_the_command_counts_all_cells_and_needs_no_torch(tmp_path):
    published_like().to_csv(tmp_path / "metrics.csv", index=False)
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    code = "import sys, rfbench.cli as c; sys.path.insert(0, sys.argv.pop(1)); sys.exit(c.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, tmp_path, "verdicts", "--metrics", tmp_path / "metrics.csv"]
    done = subprocess.run([*command, "--output", tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out" / "verdicts.md").read_text()
    cells = pd.read_csv(tmp_path / "out" / "verdicts.csv")
    by = cells["verdict"].value_counts()
    total = " | ".join(str(by.get(word, 0)) for word in verdicts.VERDICTS)
    assert f"| all |  | 927 | {total} |" in text
    claims = pd.read_csv(tmp_path / "out" / "claims.csv")["claim"].value_counts()
    assert ", ".join(f"{claims.get(word, 0)} {word}" for word in verdicts.CLAIMS) in text
    assert "M2MRF-C" in text
    assert (tmp_path / "out" / "power.md").exists()


@needs_latex
def test_both_tables_compile(tmp_path):
    metrics = published_like(deviations="short_recipe & 50 %")
    metrics = pd.concat([metrics[metrics["seed"] < 2], published_like(seeds=(2,))])
    report.write(tmp_path, metrics, PROFILE)
    report.power_table.write(tmp_path, metrics)
    for name in ("verdicts", "power"):
        assert_compiles(tmp_path, name)
