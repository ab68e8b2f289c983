"""Tables 4 and 6: ours beside the published by lesion, rows that are published only, what the versions print."""

import csv
import re

import pandas as pd
import pytest

from rfbench import cli
from rfbench.published import PUBLISHED
from rfbench.report import methods, tables
from rfbench.report.reading import COLUMNS, METHOD

LESIONS = ("EX", "HE", "SE", "MA")
ROWS = {"strideconv_bilinear": "StrideConv/Bilinear", "m2mrf_c": "M2MRF-C", "pspnet": "PSPNet", "fcn": "FCN-8s"}
PAIRS = ("strideconv_bilinear", "m2mrf_c")


def metrics(layout: str = "ddr", synthetic: bool = False, seeds: int = 3) -> pd.DataFrame:
    """Rows as `rfbench aggregate` writes them: two pairs, a method of the papers, one that they do not have."""
    rows, name = [], {"ddr": "DDR", "idrid": "IDRiD"}[layout]
    for place, (pair, row) in enumerate(ROWS.items()):
        for seed in range(seeds):
            common = {
                **dict.fromkeys(COLUMNS, ""), "dataset": f"SYN-{name}" if synthetic else name, "pair": pair,
                "seed": seed, "n": 27, "state": "done", "synthetic": synthetic,
                "kind": "synthetic" if synthetic else layout, "layout": layout, "eval_size": "native", "split": "test",
                "row": row, "downsample": "down" if pair in PAIRS else "", "upsample": "up" if pair in PAIRS else "",
                METHOD: "" if pair in PAIRS else f"Somebody et al., {row}; depth not identified",
                "backbone": "hrnetv2_w48", "recipe": "published", "commit": "0123456789abcdef", "dirty": False,
            }  # fmt: skip
            for k, metric in enumerate(("aupr11", "ap", "f", "iou")):
                values = {lesion: 0.3 + 0.1 * place + 0.01 * k + 0.02 * j + 0.001 * seed for j, lesion in
                          enumerate(LESIONS)}  # fmt: skip
                values["mean"] = sum(values.values()) / 4
                rows += [{**common, "metric": metric, "lesion": lesion, "value": v} for lesion, v in values.items()]
    return pd.DataFrame(rows, columns=[*COLUMNS, METHOD])


def printed(table: str, source: str = "arxiv-v2") -> dict[tuple[str, str, str], float]:
    """results.csv without the product's readers: (row, metric, lesion) -> percent."""
    with PUBLISHED.open(newline="") as file:
        cells = [cell for cell in csv.DictReader(file) if (cell["source"], cell["table"]) == (source, table)]
    return {(cell["name"], cell["metric"], cell["lesion"]): float(cell["value"]) for cell in cells}


@pytest.fixture
def written(tmp_path):
    """A function that writes the tables of some metrics and returns a table's three files."""

    def write(frame: pd.DataFrame, name: str) -> dict[str, str]:
        frame.to_csv(tmp_path / "metrics.csv", index=False)
        assert cli.main(["tables", "--metrics", str(tmp_path / "metrics.csv"), "--output", str(tmp_path)]) == 0
        return {kind: (tmp_path / f"{name}.{kind}").read_text() for kind in ("csv", "md", "tex")}

    return write


@pytest.mark.parametrize(("layout", "table", "number"), [("ddr", "table4", "4"), ("idrid", "table6", "6")])
def test_every_published_cell_stands_beside_ours(written, tmp_path, layout, table, number):
    written(metrics(layout), table)
    rows = pd.read_csv(tmp_path / f"{table}.csv").set_index("row")
    found = printed(number)
    assert list(rows.index) == [*dict.fromkeys(row for row, _, _ in found), "FCN-8s"]
    for (row, metric, lesion), value in found.items():
        heading = metric if lesion == "mean" else f"{metric} {lesion}"
        assert rows.loc[row, f"{heading}_published"] == pytest.approx(value), (row, heading)
    shown = rows[[column for column in rows if column.endswith("_published") and column[:1] in "mAFI"]]
    accuracies = [column for column in shown if not column.startswith(("mAP", "FPS"))]
    assert shown[accuracies].notna().sum().sum() == len(found)
    frame = metrics(layout)
    own = frame[(frame["pair"] == "pspnet") & (frame["metric"] == "f") & (frame["lesion"] == "SE")]
    assert rows.loc["PSPNet", "F SE_mean"] == pytest.approx(100 * own["value"].mean(), abs=1e-4)
    assert rows.loc["PSPNet", "F SE_std"] == pytest.approx(100 * own["value"].std(), abs=1e-4)
    assert rows.loc["HRNetV2", "pair"] == "strideconv_bilinear"
    assert list(rows.loc[["PSPNet", "DNL"], "configured"]) == [3, 0]


def test_rows_that_are_published_only_say_so(written):
    files = written(metrics("idrid"), "table6")
    for name in ("VRT", "PATech", "iFLYTEK", "L-Seg"):
        assert f"| {name} | published only |" in files["md"]
        assert f"- {name}: AUPR of" in files["md"]
    assert "- PATech: AUPR of EX HE MA only, which the papers took from elsewhere" in files["md"]
    assert "| DNL | not configured |" in files["md"]
    assert "depth not identified" in files["md"]
    assert "depth not identified" in files["tex"]


def test_what_the_versions_of_the_paper_print_differently_is_found_and_named(written):
    text = written(metrics("ddr"), "table4")["md"]
    new, old = printed("4"), printed("3", "arxiv-v1")
    differing = {row for (row, metric, lesion), value in old.items() if new[row, metric, lesion] != value}
    assert differing == {"PSPNet", "SPNet", "Swin-B"}
    for row in differing:
        numbers = f"mAUPR {new[row, 'mAUPR', 'mean']:.2f} (v1: {old[row, 'mAUPR', 'mean']:.2f})"
        assert f"- The paper's versions differ in {row}: {numbers}" in text
    assert text.count("The paper's versions differ in") == 3
    assert all(new["PSPNet", metric, lesion] == value for (row, metric, lesion), value in old.items() if row == "SPNet")
    assert "- All values that v1 prints for SPNet are v2's for PSPNet." in text
    assert text.count("All values that v1 prints") == 1
    assert methods.versions(methods.METHOD_TABLES["table6"]) == []  # those of IDRiD agree


def test_the_best_run_stands_beside_the_readmes_best_of_three(written):
    frame = metrics("ddr")
    text = written(frame, "table4")["md"]
    with PUBLISHED.open(newline="") as file:
        readme = {
            cell["metric"]: float(cell["value"]) for cell in csv.DictReader(file)
            if (cell["source"], cell["name"], cell["dataset"]) == ("readme", "M2MRF-C", "DDR")
        }  # fmt: skip
    of_pair = frame[(frame["pair"] == "m2mrf_c") & (frame["lesion"] == "mean") & (frame["seed"] == 2)]
    own = dict(zip(of_pair["metric"], 100 * of_pair["value"], strict=True))
    theirs, ours = f"{readme['mAUPR']:.2f} / {readme['mIoU']:.2f}", f"{own['aupr11']:.2f} / {own['iou']:.2f}"
    assert f"| M2MRF-C | {theirs} | {ours} (seed 2 of 3) |" in text
    assert "| PSPNet | " not in text[text.index("| Best run |") : text.index("- Test images")]


def test_synthetic_images_stand_beside_nothing_published(written):
    files = written(metrics("ddr", synthetic=True), "table4")
    table = files["md"][: files["md"].index("## Published since")]
    for value in {f"{value:.2f}" for value in printed("4").values()}:
        assert not re.search(rf"\| {re.escape(value)} \|", table)
    assert "they rank no method" in table
    assert "Best run" not in table


def test_later_results_are_a_section_of_their_own_and_ranked_with_nothing(written, tmp_path):
    files = written(metrics("ddr"), "table4")
    later = files["md"].index("## Published since, under other protocols")
    assert "WFDENet" not in files["md"][:later]
    assert "WFDENet" not in files["csv"]
    assert "none is ranked with the rows above" in files["md"][later:]
    assert "doi:10.1016/j.patcog.2025.112492" in files["md"][later:]


def test_rows_are_told_apart_among_all_that_compete(written, tmp_path):
    written(metrics("ddr"), "table4")
    rows = pd.read_csv(tmp_path / "table4.csv").set_index("row")
    assert rows.loc["PSPNet", "mAUPR_difference"] == pytest.approx(20.0)
    assert set(rows.loc[["HRNetV2", "M2MRF-C", "PSPNet", "FCN-8s"], "mAUPR_letters"]) == {"a", "b", "c", "d"}


def test_operators_tables_hold_no_methods_and_stay_as_without_them():
    frame = metrics("ddr")
    for name, table in tables.TABLES.items():
        chosen = tables.select(frame, table)
        assert not set(chosen["row"]) & {"PSPNet", "FCN-8s"}, name
    assert methods.names_for(frame) == ["table4"]
    assert methods.names_for(frame[frame["pair"].isin(PAIRS)]) == []
    assert methods.names_for(frame.drop(columns=METHOD)) == []  # of a version without methods


def test_every_table_of_the_page_is_one_piece(written):
    text = written(metrics("ddr"), "table4")["md"]
    pieces = [piece for piece in text.split("\n\n") if "|---|" in piece]
    assert len(pieces) == 7  # three measures, costs, differences, best runs, later literature
    assert all(line.startswith("|") for piece in pieces for line in piece.strip().splitlines())
    assert all(len({line.count("|") for line in piece.strip().splitlines()}) == 1 for piece in pieces)
    assert text.count("|---|") >= 7
    assert "\n\n|" not in text.replace("\n\n| ", "")  # no row stands alone


def test_holes_are_told(written):
    frame = metrics("ddr")
    lost = (frame["pair"] == "pspnet") & (frame["seed"] == 1)
    frame.loc[lost, ["state", "reason", "value"]] = ["diverged", "loss nan at iteration 7", None]
    files = written(frame, "table4")
    assert "| PSPNet | 2/3 |" in files["md"]
    assert "- Hole in pspnet: seed 1: diverged (loss nan at iteration 7)." in files["md"]
