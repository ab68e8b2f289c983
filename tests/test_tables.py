"""The tables from a metrics file: means, holes, published values for real data only."""

import math
import re
import statistics
import subprocess
import sys
from argparse import Namespace

import pandas as pd
import pytest

from rfbench import tables
from rfbench.aggregate import COLUMNS
from rfbench.errors import RFBenchError

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
    return pd.DataFrame(rows, columns=COLUMNS)


def written(tmp_path, frame: pd.DataFrame) -> dict[str, str]:
    """The three files that the command writes."""
    source = tmp_path / "metrics.csv"
    frame.to_csv(source, index=False)
    arguments = [sys.executable, "-m", "rfbench", "tables", "--metrics", source, "--output", tmp_path / "out"]
    subprocess.run(arguments, check=True)
    return {kind: (tmp_path / "out" / f"table5.{kind}").read_text() for kind in ("csv", "md", "tex")}


def test_mean_std_and_published_value_beside_ours(tmp_path):
    files = written(tmp_path, metrics())
    row = pd.read_csv(tmp_path / "out" / "table5.csv").iloc[0]
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
    published = re.compile(r"67\.24|65\.71|49\.94|published(?! protocol)")
    for kind in ("csv", "tex"):
        assert "SYN" in files[kind]
        assert not published.search(files[kind])
    assert "no ranking of operators" in files["md"]
    assert not re.search(r"67\.24|65\.71|49\.94", files["md"])


def test_holes_are_shown_with_their_reason(tmp_path):
    files = written(tmp_path, metrics(states={1: "diverged", 2: "missing"}))
    row = pd.read_csv(tmp_path / "out" / "table5.csv").iloc[0]
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


def test_tables_need_no_torch():
    code = "import sys, rfbench.cli, rfbench.tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_published_table_is_read_not_typed():
    values = tables.published_means(tables.TABLES["table5"])
    assert len(values) == 36
    assert values["StrideConv/Bilinear", "mIoU"] == 47.52


def test_foreign_or_missing_metrics_are_refused(tmp_path):
    with pytest.raises(RFBenchError, match=r"absent\.csv: not found"):
        tables.read_metrics(tmp_path / "absent.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RFBenchError, match="missing dataset, layout, lesion"):
        tables.read_metrics(tmp_path / "other.csv")


@pytest.mark.parametrize(("text", "escaped"), [("a_b & 5%", r"a\_b \& 5\%"), ("1 ± 2", r"1 $\pm$ 2"), ("–", "--")])
def test_tex_escaping(text, escaped):
    assert tables.escape_tex(text) == escaped


def test_published_values_of_ddr_stand_beside_ddr_only(tmp_path):
    frame = metrics("DDR")
    frame["kind"], frame["layout"], frame["eval_size"] = "ddr", "ddr", "prepared"
    source = tmp_path / "metrics.csv"
    frame.to_csv(source, index=False)
    tables.run(Namespace(metrics=source, output=tmp_path / "out"))
    text = (tmp_path / "out" / "table3.md").read_text()
    assert "67.24" not in text, "IDRiD's value"
    assert "| 48.94 |" in text, "DDR's value of M2MRF-C"
    assert "27 test images at prepared size" in text
    assert "not in this configuration: StrideConv/Bilinear" in text
    downs = pd.read_csv(tmp_path / "out" / "table2_ds.csv")
    assert downs.empty, "M2MRF-C is no row of the table of downsampling operators"
    assert not (tmp_path / "out" / "table5.md").exists()


def test_an_operator_that_the_paper_does_not_have_stands_in_every_table(tmp_path):
    frame = metrics("DDR")
    frame["layout"], frame["row"], frame["downsample"] = "ddr", "Mine/Bilinear", "Mine"
    for name in ("table2_ds", "table2_us", "table3"):
        assert not tables.select(frame, tables.TABLES[name]).empty


def test_own_data_has_no_published_column(tmp_path):
    frame = metrics("hospital")
    frame["kind"] = frame["layout"] = "folder"
    part = tables.select(frame, tables.TABLES["table_own"])
    (data,) = tables.notes(part, tables.TABLES["table_own"])["datasets"]
    assert data["compared"] is False
    assert math.isnan(tables.rows_of(part, tables.TABLES["table_own"])[0]["cells"]["mAUPR"].published)
