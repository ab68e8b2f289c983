"""The tables from a metrics file: means, holes, published values for real data only."""

import math
import os
import re
import shutil
import statistics
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest

import operators
from rfbench import cli
from rfbench.commands import tables as command
from rfbench.errors import RFBenchError
from rfbench.published import PUBLISHED
from rfbench.report import rendering, tables
from rfbench.report.reading import COLUMNS, read_metrics

VALUES = {0: 0.50, 1: 0.54, 2: 0.61}


def metrics(dataset: str = "IDRiD", synthetic: bool = False, states: dict[int, str] | None = None) -> pd.DataFrame:
    """Rows as `rfbench aggregate` writes them, for M2MRF-C and three seeds."""
    rows = []
    for seed, value in VALUES.items():
        state = (states or {}).get(seed, "done")
        common = {
            **dict.fromkeys(COLUMNS, ""), "dataset": dataset, "pair": "m2mrf_c", "seed": seed, "n": 27, "state": state,
            "synthetic": synthetic, "kind": "synthetic" if synthetic else "idrid",
            "layout": "idrid", "eval_size": "native",
            "row": "M2MRF-C", "downsample": "M2MRF cascade", "upsample": "M2MRF one-step",
            "backbone": "hrnetv2_w48", "recipe": "embedded" if synthetic else "published",
            "commit": "0123456789abcdef", "dirty": False,
        }  # fmt: skip
        for metric in ("aupr11", "ap", "f", "iou"):
            rows.append({**common, "metric": metric, "lesion": "mean", "value": value if state == "done" else None})
        rows.append({**common, "metric": "ap_error", "lesion": "EX", "value": 2e-6})
        rows.append({**common, "metric": "aupr11_artefact", "lesion": "MA", "value": float(seed == 1)})
    return pd.DataFrame(rows, columns=COLUMNS).fillna({"since": ""})


def written(tmp_path, frame: pd.DataFrame) -> dict[str, str]:
    """The three files that the command writes."""
    source = tmp_path / "metrics.csv"
    frame.to_csv(source, index=False)
    arguments = [sys.executable, "-m", "rfbench", "tables", "--metrics", source, "--output", tmp_path / "out"]
    subprocess.run(arguments, check=True)
    return {kind: (tmp_path / "out" / f"table5.{kind}").read_text() for kind in ("csv", "md", "tex")}


def test_mean_std_and_published_value_beside_ours(tmp_path):
    files = written(tmp_path, metrics())
    row = pd.read_csv(tmp_path / "out" / "table5.csv").set_index("pair").loc["m2mrf_c"]
    percent = [100 * value for value in VALUES.values()]
    assert row.mAUPR_mean == pytest.approx(statistics.mean(percent), abs=1e-3)
    assert row.mAUPR_std == pytest.approx(statistics.stdev(percent), abs=1e-3)
    assert (row.n, row.configured, row.data) == (3, 3, "real")
    assert row.mAUPR_published == 67.24
    assert (row.mF_published, row.mIoU_published) == (65.71, 49.94)
    assert math.isnan(row.mAP_published), "the paper reports no exact average precision"
    assert "55.00 ± 5.57" in files["md"]
    assert "67.24" in files["md"]
    assert r"55.00 $\pm$ 5.57" in files["tex"]
    assert "SYN" not in files["md"] + files["tex"] + files["csv"]


def test_synthetic_rows_say_so_and_show_no_published_accuracy(tmp_path):
    files = written(tmp_path, metrics("SYN-IDRiD", synthetic=True))
    for text in files.values():
        assert "SYN" in text
        assert not re.search(r"67\.24|65\.71|49\.94", text)
    table = pd.read_csv(tmp_path / "out" / "table5.csv")
    assert table["mAUPR_published"].isna().all()
    assert table["FPS_published"].isna().all()
    assert table["Param_M_published"].notna().all(), "parameters do not depend on the data"
    assert "no ranking of operators" in files["md"]
    assert "| **" not in files["md"], "synthetic data have no best value"


def test_holes_are_shown_with_their_reason(tmp_path):
    files = written(tmp_path, metrics(states={1: "diverged", 2: "missing"}))
    row = pd.read_csv(tmp_path / "out" / "table5.csv").set_index("pair").loc["m2mrf_c"]
    assert (row.n, row.configured) == (1, 3)
    assert row.mAUPR_mean == pytest.approx(50)
    assert math.isnan(row.mAUPR_std), "one seed has no standard deviation"
    assert row.holes == "seed 1: diverged; seed 2: missing"
    assert "| 1/3 | 50.00 |" in files["md"]
    assert "seed 1: diverged; seed 2: missing" in files["md"]


def test_no_finished_run_shows_dashes_and_no_zero(tmp_path):
    files = written(tmp_path, metrics(states=dict.fromkeys(VALUES, "missing")))
    assert "| 0/3 | – |" in files["md"]
    assert "0.00" not in files["md"]


def test_artefact_is_flagged(tmp_path):
    assert "m2mrf_c seed 1 MA" in written(tmp_path, metrics())["md"]


def test_tables_need_no_torch(tmp_path):
    """Not even where it is not installed: an import of it fails here."""
    metrics().to_csv(tmp_path / "metrics.csv", index=False)
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    arguments = ["--metrics", tmp_path / "metrics.csv", "--output", tmp_path / "out"]
    command = [sys.executable, "-m", "rfbench", "tables", *arguments]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "table5.md").exists()


def test_published_table_is_read_not_typed():
    values = tables.published_means(tables.TABLES["table5"])
    assert len(values) == 36
    assert values["StrideConv/Bilinear", "mIoU"] == 47.52


def test_foreign_or_missing_metrics_are_refused(tmp_path):
    with pytest.raises(RFBenchError, match=r"absent\.csv: expected a CSV file, found nothing"):
        read_metrics(tmp_path / "absent.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RFBenchError, match=r"other\.csv: expected the columns dataset, pair, .* found none of them"):
        read_metrics(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 5%", r"a\_b \& 5\%"),
        ("1 ± 2", r"1 $\pm$ 2"),
        ("–", "--"),
        ("\\{}", r"\textbackslash{}\{\}"),
        ("語", "[U+8A9E]"),
    ],
)
def test_tex_escaping(text, escaped):
    assert rendering.escape_tex(text) == escaped


def test_published_values_of_ddr_stand_beside_ddr_only(tmp_path):
    frame = metrics("DDR")
    frame["kind"], frame["layout"], frame["eval_size"] = "ddr", "ddr", "prepared"
    source = tmp_path / "metrics.csv"
    frame.to_csv(source, index=False)
    command.run(Namespace(metrics=source, results=None, output=tmp_path / "out"))
    text = (tmp_path / "out" / "table3.md").read_text()
    assert "67.24" not in text, "IDRiD's value"
    assert "| 48.94 |" in text, "DDR's value of M2MRF-C"
    assert "Test images: 27, at prepared size." in text
    assert "| StrideConv/Bilinear | StrideConv | Bilinear | not configured | – | 45.21 |" in text
    downs = pd.read_csv(tmp_path / "out" / "table2_ds.csv")
    assert set(downs["holes"]) == {"not configured"}, "M2MRF-C is no row of the table of downsampling operators"
    assert not (tmp_path / "out" / "table5.md").exists()


def test_an_operator_that_the_paper_does_not_have_stands_in_every_table(tmp_path):
    frame = metrics("DDR")
    frame["layout"], frame["row"], frame["downsample"] = "ddr", "Mine/Bilinear", "Mine"
    for name in ("table2_ds", "table2_us", "table3"):
        assert not tables.select(frame, tables.TABLES[name]).empty


def test_operators_since_the_paper_have_a_table_of_their_own(tmp_path):
    later = metrics().assign(pair="strideconv_dysample", row="StrideConv/DySample", since="ICCV 2023")
    frames = [metrics(), metrics().assign(pair="strideconv_bilinear", row="StrideConv/Bilinear"), later]
    (tmp_path / "metrics.csv").write_text(pd.concat(frames).to_csv(index=False))
    words = ["tables", "--metrics", str(tmp_path / "metrics.csv"), "--output", str(tmp_path / "out")]
    assert cli.main(words) == 0
    rows = {name: pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("table5", "table_since_idrid")}
    assert "strideconv_dysample" not in set(rows["table5"]["pair"])
    assert list(rows["table_since_idrid"]["pair"]) == ["strideconv_bilinear", "strideconv_dysample"]
    for ending, text in (("md", "- StrideConv/DySample: ICCV 2023."), ("tex", "StrideConv/DySample: ICCV 2023.")):
        assert text in (tmp_path / "out" / f"table_since_idrid.{ending}").read_text()
        assert "DySample" not in (tmp_path / "out" / f"table5.{ending}").read_text()


def test_without_operators_since_the_paper_there_is_no_table_of_them(tmp_path):
    written(tmp_path, metrics())
    assert not list((tmp_path / "out").glob("table_since*"))


def test_every_registered_pair_that_no_paper_prints_says_where_it_is_from():
    for name in set(operators.available()) - set(operators.published()):
        assert operators.get(name).since, name


def test_own_data_has_no_published_column(tmp_path):
    frame = metrics("hospital")
    frame["kind"] = frame["layout"] = "folder"
    (data,) = tables.notes(frame, tables.TABLES["table_own"])["datasets"]
    assert data["compared"] is False
    assert [heading["name"] for heading in data["headings"] if heading["published"]] == ["Param"]
    (row,) = tables.rows_of(frame, tables.TABLES["table_own"])
    assert math.isnan(row["cells"]["mAUPR"].published)
    assert row["cells"]["Param"].published == 70.30


def pair(name: str, row: str, value: float, **changes) -> pd.DataFrame:
    """The rows of `metrics`, for another pair with another value."""
    frame = metrics(**changes)
    down, up = row.split("/")
    frame = frame.assign(pair=name, row=row, downsample=down, upsample=up)
    chosen = frame["lesion"] == "mean"
    frame.loc[chosen & (frame["state"] == "done"), "value"] = value
    return frame


def profile(*pairs: str) -> dict:
    """A profile as `rfbench profile` writes it."""
    costs = {"params_w48": 70297900, "fps_ratio": 0.8, "fps_ratio_min": 0.7, "fps_ratio_max": 0.9}
    return {
        "pairs": dict.fromkeys(pairs, costs), "backbone": "hrnetv2_w48", "size": [1440, 960], "dtype": "float32",
        "batch": 1, "channels_last": False, "threads": 1, "rounds": 9, "provenance": {"device": "cpu"},
    }  # fmt: skip


def test_rows_follow_the_paper_and_own_ones_come_last():
    frame = pd.concat([pair("mine", "Mine/Bilinear", 0.4), metrics(), pair("maxpool", "MaxPool/Bilinear", 0.3)])
    rows = tables.rows_of(frame, tables.TABLES["table5"])
    published = pd.read_csv(PUBLISHED).query("source == 'arxiv-v2' and table == '5'")["name"].unique()
    assert [row["row"] for row in rows] == [*published, "Mine/Bilinear"]
    assert {row["row"] for row in rows if row["configured"]} == {"Mine/Bilinear", "M2MRF-C", "MaxPool/Bilinear"}
    absent = next(row for row in rows if row["row"] == "A2U/A2U")
    assert absent["cells"]["mAUPR"].text == "–"
    assert absent["cells"]["mAUPR"].published == 64.93
    assert absent["cells"]["Param"].published == 66.51


def test_best_and_second_are_marked_among_complete_rows():
    """Where the next row prints less; a row with a hole is no competitor."""
    values = {"a": 0.6, "b": 0.5, "c": 0.4, "d": 0.40001}
    frames = [pair(name, f"{name}/{name}", value) for name, value in values.items()]
    frames.append(pair("e", "e/e", 0.9, states={2: "diverged"}))
    rows = [row for row in tables.rows_of(pd.concat(frames), tables.TABLES["table5"]) if row["configured"]]
    marks = {row["pair"]: row["cells"]["mAUPR"].mark for row in rows}
    assert marks == {"a": "best", "b": "second", "c": "", "d": "", "e": ""}
    assert rendering.marked_markdown(rows[0]["cells"]["mAUPR"]) == "**60.00 ± 0.00** <sup>a</sup>"
    assert rendering.marked_markdown(rows[1]["cells"]["mAUPR"]) == "<u>50.00 ± 0.00</u> <sup>b</sup>"
    assert rendering.marked_tex(rows[1]["cells"]["mAUPR"]) == r"\underline{50.00 $\pm$ 0.00}\,$^\mathrm{b}$"


def test_single_runs_are_not_ranked(tmp_path):
    frame = pd.concat([pair("a", "a/a", 0.5), pair("b", "b/b", 0.6)]).query("seed == 0")
    files = written(tmp_path, frame)
    assert "| 60.00 |" in files["md"]
    assert "No value is marked as the best" in files["md"]
    assert "textbf" not in files["tex"]


def test_fewest_parameters_and_most_frames_are_the_best():
    costs = profile("a", "b")
    costs["pairs"] = {"a": {**costs["pairs"]["a"], "params_w48": 6e7, "fps_ratio": 0.5}, "b": costs["pairs"]["b"]}
    frame = pd.concat([pair("a", "a/a", 0.5), pair("b", "b/b", 0.6)])
    rows = {row["pair"]: row["cells"] for row in tables.rows_of(frame, tables.TABLES["table5"], costs)}
    assert (rows["a"]["Param"].mark, rows["b"]["Param"].mark) == ("best", "")
    assert (rows["a"]["FPS"].mark, rows["b"]["FPS"].mark) == ("", ""), "the ranges of the rounds overlap"
    costs["pairs"]["a"]["fps_ratio_max"] = 0.65
    rows = {row["pair"]: row["cells"] for row in tables.rows_of(frame, tables.TABLES["table5"], costs)}
    assert (rows["a"]["FPS"].mark, rows["b"]["FPS"].mark) == ("", "best")


def test_param_and_speed_stand_beside_the_published_ones():
    rows = tables.rows_of(metrics(), tables.TABLES["table5"], profile("m2mrf_c"))
    cells = next(row["cells"] for row in rows if row["pair"] == "m2mrf_c")
    assert (cells["Param"].text, cells["Param"].published_text) == ("70.30", "70.30")
    assert cells["FPS"].text == "0.80 (0.70–0.90)"
    assert cells["FPS"].published == pytest.approx(8.43 / 11.31)
    assert cells["FPS"].frames == 8.43


def test_missing_profile_is_a_dash_with_the_reason(tmp_path):
    text = written(tmp_path, metrics())["md"]
    assert "no profile.json; `rfbench profile` writes it" in text
    about = tables.notes(metrics(), tables.TABLES["table5"], profile("another"))
    assert about["unprofiled"] == ["m2mrf_c"]


def test_seeds_with_the_same_reason_stand_together():
    frame = metrics(states={0: "timeout", 2: "timeout", 1: "error"})
    frame["reason"] = frame["state"].map({"timeout": "after 60 s", "error": "OSError: disk"})
    row = next(row for row in tables.rows_of(frame, tables.TABLES["table5"]) if row["configured"])
    assert row["holes"] == ["seeds 0, 2: timeout (after 60 s)", "seed 1: error (OSError: disk)"]


def test_two_data_sets_of_a_layout_share_a_table_and_are_ranked_apart(tmp_path):
    frames = [pair(name, f"{name}/{name}", value) for name, value in {"a": 0.6, "b": 0.5}.items()]
    frames.append(pair("a", "a/a", 0.9, dataset="SYN-IDRiD", synthetic=True))
    text = written(tmp_path, pd.concat(frames))["md"]
    assert text.index("## IDRiD") < text.index("## SYN-IDRiD (SYN: synthetic images")
    assert text.count("**60.00 ± 0.00**") == 2, "one for each metric of the real set that is compared"
    assert "| 90.00 ± 0.00 |" in text


DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
\input{%s}
\end{document}
"""
needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (texlive-latex-base)")


def assert_compiles(folder: Path, name: str) -> None:
    """pdflatex sets the table within the width of a page."""
    (folder / "document.tex").write_text(DOCUMENT % name)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


@needs_latex
def test_tex_compiles_whatever_a_name_or_a_reason_holds(tmp_path):
    nasty = r"A_1 & 5% of {x}^2 ~ $y$ # \z <p> |q| α→β ± – × 語"
    rows = [pair("mine", f"{nasty}/Bilinear", 0.4, states={1: "error"}), metrics(), pair("b", "b/b", 0.95)]
    frame = pd.concat([*rows, pair("strideconv_bilinear", "StrideConv/Bilinear", 0.3)])
    frame["reason"] = frame["state"].map({"error": nasty}).fillna("")
    written(tmp_path, frame)
    assert_compiles(tmp_path / "out", "table5")
    text = (tmp_path / "out" / "table5.tex").read_text()
    assert r"\textbf{95.00" in text, "a marked value was compiled"
    assert r"$^\mathrm{a}$" in text, "and letters"
    assert "+65.00 (retraining" in text, "and differences"


@needs_latex
@pytest.mark.parametrize(
    ("layout", "names"), [("ddr", ["table2_ds", "table2_us", "table3"]), ("folder", ["table_own"])]
)
def test_every_other_table_compiles(tmp_path, layout, names):
    frame = metrics("hospital" if layout == "folder" else "DDR")
    frame["kind"] = frame["layout"] = layout
    frame.to_csv(tmp_path / "metrics.csv", index=False)
    command.run(Namespace(metrics=tmp_path / "metrics.csv", results=None, output=tmp_path / "out"))
    for name in names:
        assert_compiles(tmp_path / "out", name)
