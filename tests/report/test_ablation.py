"""The sweep of operator options: its runs, Table 1 and its figure."""

import math
import statistics
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from rfbench import stages
from rfbench.commands import ablation as command
from rfbench.errors import RFBenchError
from rfbench.pipeline import Pipeline
from rfbench.report import ablation
from rfbench.report.deviations import deviations
from rfbench.report.reading import COLUMNS
from rfbench.settings import ConfigError, complete, load, network, run_names, run_settings, swept_options, variants

from ..checkout import ROOT
from .test_tables import assert_compiles, needs_latex

SMALLEST = yaml.safe_load((ROOT / "config" / "ablation_ci.yaml").read_text())
# Table 1 of arXiv:2111.00193v2: mAUPR by option and value.
PAPER = {
    ("patch_size", "4"): 60.93, ("patch_size", "8"): 61.49, ("patch_size", "16"): 60.69,
    ("reduction", "2"): 61.13, ("reduction", "4"): 61.49, ("reduction", "8"): 61.43,
    ("alpha", "32"): 60.34, ("alpha", "64"): 61.49, ("alpha", "128"): 61.31,
}  # fmt: skip


def test_the_papers_sweep_is_seven_settings():
    settings = load(ROOT / "config" / "ablation.yaml")
    names = list(dict.fromkeys(pair for _, pair, _ in run_names(settings)))
    assert names == [
        "m2mrf_c",
        *("m2mrf_c_patch_size_4", "m2mrf_c_patch_size_16"),
        *("m2mrf_c_reduction_2", "m2mrf_c_reduction_8"),
        *("m2mrf_c_alpha_32", "m2mrf_c_alpha_128"),
    ]
    assert len(run_names(settings)) == 7 * 3
    run = run_settings(settings, "DDR", "m2mrf_c_patch_size_4", 1)
    assert run.pair == "m2mrf_c"
    assert run.model.operator_options == {"m2mrf": {"patch_size": 4}}
    assert deviations(run) == ["m2mrf with patch_size 4"]
    own = run_settings(settings, "DDR", "m2mrf_c", 1)
    assert deviations(own) == []
    paper = load(ROOT / "config" / "paper.yaml")
    assert own == run_settings(paper, "DDR", "m2mrf_c", 1), "the sweep is no part of the pair's own run"


def test_a_sweep_keeps_the_configured_options_beside_the_one_it_changes():
    settings = complete(SMALLEST)
    _, options = network(settings, "m2mrf_c_alpha_8")
    assert options == {"m2mrf": {"patch_size": 4, "alpha": 8}}
    assert "m2mrf_c_alpha_16" not in variants(settings), "the pair's own setting"
    assert swept_options(settings, "m2mrf_c_reduction_2") == {
        "patch_size": 4, "reduction": 2, "alpha": 16, "init": "xavier",
    }  # fmt: skip
    assert swept_options(settings.model_copy(update={"sweep": {}}), "m2mrf_c") == {}


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"m2mrf_d": {"m2mrf": {"alpha": [8]}}}, ["sweep.m2mrf_d", "one of the configured pairs", "m2mrf_c"]),
        ({"m2mrf_c": {"lip": {"width": [8]}}}, ["sweep.m2mrf_c.lip", "an operator of the pair", "m2mrf"]),
        ({"m2mrf_c": {"m2mrf": {"alhpa": [8]}}}, ["sweep.m2mrf_c.m2mrf", "unknown option alhpa", "alpha?"]),
        ({"m2mrf_c": {"m2mrf": {"alpha": [8, "x"]}}}, ["sweep.m2mrf_c.m2mrf.alpha", "a number", "'x'"]),
        (
            {"m2mrf_c": {"m2mrf": {"init": ["gaussian", "Gaussian"]}}},
            ["2 of its values", "m2mrf_c_init_gaussian"],
        ),
        ({"m2mrf_c": {"m2mrf": {"init": ["x" * 99]}}}, ["sweep", "names of at most 100 characters", "m2mrf_c_init_x"]),
        ({"m2mrf_c": {"m2mrf": {"alpha": 8}}}, ["sweep.m2mrf_c.m2mrf.alpha", "a list", "found 8"]),
    ],
)
def test_mistakes_in_a_sweep_are_named(sweep, words):
    with pytest.raises(ConfigError) as caught:
        complete({**SMALLEST, "sweep": sweep})
    for word in words:
        assert word in str(caught.value)


def test_a_sweep_makes_table_1_and_on_validation_images_no_other():
    pipeline = Pipeline(SMALLEST)
    assert [Path(file).name for file in pipeline.ablation_files()] == [
        *("table1.csv", "table1.md", "table1.tex", "table1.png", "table1.pdf")
    ]
    lesions = [f"lesions.{kind}" for kind in ("csv", "md", "tex")]
    assert [Path(file).name for file in pipeline.table_files()] == [*lesions, "tables.json"]
    run = Namespace(pair="m2mrf_c_alpha_8")
    assert pipeline.run_code("train")(run) == stages.code_digest("train", "m2mrf_c")
    without = Pipeline({**SMALLEST, "sweep": {}, "evaluation": {"split": "test"}})
    assert without.ablation_files() == []
    assert "table3.md" in [Path(file).name for file in without.table_files()]


def metrics(synthetic: bool = False) -> pd.DataFrame:
    """Rows as `rfbench aggregate` writes them for the paper's sweep and two seeds; value = place / 20 + seed / 100."""
    settings, rows = load(ROOT / "config" / "ablation.yaml"), []
    for place, name in enumerate(["m2mrf_c", *variants(settings)]):
        swept = swept_options(settings, name)
        for seed in (0, 1):
            common = {
                **dict.fromkeys(COLUMNS, ""), "dataset": "SYN-DDR" if synthetic else "DDR", "pair": name, "seed": seed,
                "n": 149, "state": "done", "layout": "ddr", "split": "val", "eval_size": "prepared",
                "synthetic": synthetic, "base": "m2mrf_c", "row": f"M2MRF-C, {name}" if place else "M2MRF-C",
                "options": " ".join(f"{key}={value}" for key, value in swept.items()),
                "backbone": "hrnetv2_w48", "recipe": "published", "commit": "0123456789abcdef", "dirty": False,
            }  # fmt: skip
            for metric in ("aupr11", "ap", "f", "iou"):
                rows.append({**common, "metric": metric, "lesion": "mean", "value": place / 20 + seed / 100})
    return pd.DataFrame(rows, columns=COLUMNS)


def written(tmp_path, frame: pd.DataFrame) -> dict[str, str]:
    """The table's three files; the figure's must be there."""
    frame.to_csv(tmp_path / "metrics.csv", index=False)
    command.run(Namespace(metrics=tmp_path / "metrics.csv", output=tmp_path))
    for kind in ("png", "pdf"):
        assert (tmp_path / "figures" / f"table1.{kind}").stat().st_size > 1000
    return {kind: (tmp_path / "tables" / f"table1.{kind}").read_text() for kind in ("csv", "md", "tex")}


def test_the_published_value_stands_beside_ours(tmp_path):
    files = written(tmp_path, metrics())
    table = pd.read_csv(tmp_path / "tables" / "table1.csv", dtype={"value": str}).set_index(["option", "value"])
    assert table["mAUPR_published"].to_dict() == PAPER
    assert list(table.index) == list(PAPER), "three blocks, each by its value"
    assert math.isnan(table.loc[("alpha", "32"), "mAP_published"])
    place = ["m2mrf_c", *variants(load(ROOT / "config" / "ablation.yaml"))].index("m2mrf_c_reduction_8")
    seeds = [5 * place, 5 * place + 1]
    row = table.loc[("reduction", "8")]
    assert row["mAUPR_mean"] == pytest.approx(statistics.mean(seeds))
    assert row["mAUPR_std"] == pytest.approx(statistics.stdev(seeds), abs=1e-4)
    assert (row["n"], row["configured"]) == (2, 2)
    assert "| reduction | 8 | 2/2 | 20.50 ± 0.71 | 61.43 |" in files["md"]
    assert "- Validation images: 149, at prepared size." in files["md"]
    assert "patch_size 8, reduction 4, alpha 64" in files["md"]
    assert files["tex"].count(r"\midrule") == 3


def test_synthetic_rows_show_no_published_value(tmp_path):
    files = written(tmp_path, metrics(synthetic=True))
    for kind, text in files.items():
        assert "SYN" in text
        assert not any(str(value) in text for value in PAPER.values()), kind
    assert "they rank no option" in files["md"]


def test_a_hole_has_its_reason(tmp_path):
    frame = metrics()
    hole = (frame["pair"] == "m2mrf_c_alpha_32") & (frame["seed"] == 1)
    frame.loc[hole, ["value", "state", "reason"]] = [None, "diverged", "loss nan"]
    files = written(tmp_path, frame)
    assert "Hole at alpha 32: seed 1: diverged (loss nan)." in files["md"]
    assert "Hole at alpha 32: seed 1: diverged (loss nan)." in files["tex"]
    assert "| alpha | 32 | 1/2 | 25.00 | 60.34 |" in files["md"]


@needs_latex
@pytest.mark.parametrize("synthetic", [False, True])
def test_the_tex_compiles_within_the_page(tmp_path, synthetic):
    written(tmp_path, metrics(synthetic))
    assert_compiles(tmp_path / "tables", "table1")


def test_other_data_stand_beside_nothing_published(tmp_path):
    files = written(tmp_path, metrics().assign(dataset="Mine", layout="folder"))
    assert "published" not in files["csv"]
    assert "published: Table 1" not in files["md"]
    assert "publ." not in files["tex"]


def test_an_artefact_is_flagged_in_the_table_and_the_figure(tmp_path):
    frame = metrics()
    flagged = frame.query("pair == 'm2mrf_c_alpha_32' and seed == 1").iloc[:1]
    frame = pd.concat([frame, flagged.assign(metric="aupr11_artefact", lesion="MA", value=1.0)])
    files = written(tmp_path, frame)
    assert "- mAUPR contains an artefact: m2mrf_c_alpha_32 seed 1 MA (no score above 0.1" in files["md"]
    assert r"mAUPR contains an artefact: m2mrf\_c\_alpha\_32 seed 1 MA" in files["tex"]
    figure = ablation.draw(ablation.rows_of(frame), ablation.notes(frame))
    crosses = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "x"]
    place = list(dict.fromkeys(frame["pair"])).index("m2mrf_c_alpha_32")
    assert [list(cross.get_ydata()) for cross in crosses] == [[pytest.approx(5 * place + 1)]]
    assert any("artefact" in text.get_text() for text in figure.legends[0].get_texts())
    ablation.plt.close("all")


def test_metrics_without_a_sweep_are_refused(tmp_path):
    frame = metrics()
    frame["base"] = frame["options"] = ""
    with pytest.raises(RFBenchError, match="expected runs of a sweep"):
        written(tmp_path, frame)


@pytest.mark.slow
def test_the_smallest_ablation_from_end_to_end(tmp_path):
    configuration_file = tmp_path / "small.yaml"
    folders = {"results": str(tmp_path / "results"), "reports": str(tmp_path / "reports")}
    configuration_file.write_text(yaml.safe_dump({**SMALLEST, **folders}))
    command = [Path(sys.executable).with_name("snakemake"), "--cores", "2", "--configfile", configuration_file]
    subprocess.run([*command, "--nolock"], cwd=ROOT, check=True, capture_output=True)
    table = pd.read_csv(tmp_path / "reports" / "tables" / "table1.csv")
    assert list(table["option"]) == ["patch_size"] * 2 + ["reduction"] * 2 + ["alpha"] * 2
    assert set(table["n"]) == {1}
    assert table.groupby("pair")["mAP_mean"].nunique().max() == 1, "the shared setting is one run"
    assert table["mAP_mean"].nunique() == 4, "four settings, four networks"
