"""From the records of runs to metrics, to a table's cell, and back."""

import json
import os
import statistics
import sys
from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from rfbench import cli, provenance
from rfbench.commands import tables as command
from rfbench.errors import RFBenchError
from rfbench.report import aggregate, trace
from rfbench.runs import of, run_folder
from rfbench.settings import Settings, complete

from .. import recorded
from ..checkout import ROOT
from ..tiny_run import changed, plain

PAIR = "m2mrf_c"
VALUES = {0: 0.4123456789, 1: 0.4371, 2: 0.49}


def write_record(
    settings: Settings, seed: int, state: str = "done", reason: str | None = None, competitor: str = PAIR, **more
) -> Path:
    """A record as `rfbench evaluate` writes it, with VALUES as every metric."""
    run = of(settings, "SYN-IDRiD", competitor, seed)
    folder = run.folder
    (folder / "work").mkdir(parents=True)
    (folder / "work" / "model.pth").write_text(f"weights of seed {seed}")
    manifest = Path(settings.results) / "data" / "SYN-IDRiD" / "manifest.csv"
    provenance.write_text(manifest, "a manifest\n")
    digests = {"manifest": manifest, "weights": folder / "work" / "model.pth"}
    digests = {name: provenance.sha256(path) for name, path in digests.items()}
    record = recorded.evaluation(run, VALUES[seed], state, reason=reason, **more, **digests)
    provenance.write_json(folder / "evaluation.json", record)
    return folder / "evaluation.json"


@pytest.fixture
def settings(tmp_path) -> Settings:
    """The smallest configuration with one pair and three seeds, its results in a temporary folder."""
    shipped = yaml.safe_load((ROOT / "config" / "ci.yaml").read_text())
    return complete({**shipped, "pairs": [PAIR], "seeds": list(VALUES), "results": str(tmp_path / "results")})


def rendered(settings: Settings) -> Path:
    """Aggregate and render; the table."""
    metrics = Path(settings.results) / "metrics.csv"
    provenance.write_text(metrics, aggregate.aggregate(settings).to_csv(index=False, lineterminator="\n"))
    folder = Path(settings.results).parent / "tables"
    command.run(Namespace(metrics=metrics, results=None, output=folder))
    return folder / "table5.csv"


def test_cell_agrees_with_its_records(settings, capsys):
    for seed in VALUES:
        write_record(settings, seed)
    table = rendered(settings)
    assert cli.main(["trace", str(table), "--pair", PAIR, "--metric", "mAUPR"]) == 0
    printed = capsys.readouterr().out
    percent = [100 * value for value in VALUES.values()]
    assert f"mean {statistics.mean(percent):.4f}, std {statistics.stdev(percent):.4f}, n = 3" in printed
    for seed, value in VALUES.items():
        assert f"seed {seed}: done, {100 * value:.4f} %, test images: 27" in printed
    assert "c0ffee" in printed
    assert "torch 2.13.0" in printed
    assert printed.count("(file checked)") == 6, "manifest and checkpoint of each run"
    assert printed.endswith("The cell agrees with the records.\n")


def test_a_method_is_followed_by_lesion(settings, capsys):
    by_seed = {seed: {"EX": 0.1 + 0.07 * seed, "MA": 0.2} for seed in VALUES}
    settings = complete({**plain(settings), "methods": ["hed"]})
    paths = [write_record(settings, seed, competitor="hed", by_lesion=by_lesion) for seed, by_lesion in by_seed.items()]
    table = rendered(settings).with_name("table6.csv")
    assert cli.main(["trace", str(table), "--pair", "hed", "--metric", "AUPR EX"]) == 0
    printed, percent = capsys.readouterr().out, [100 * by_lesion["EX"] for by_lesion in by_seed.values()]
    assert f"{table}: HED (hed) on SYN-IDRiD (SYN), AUPR EX".removeprefix(str(table)) in printed
    assert f"mean {statistics.mean(percent):.4f}, std {statistics.stdev(percent):.4f}, n = 3" in printed
    assert all(f"seed {seed}: done, {value:.4f} %" in printed for seed, value in zip(by_seed, percent, strict=True))
    assert trace.trace(table, "hed", "mIoU").problems == []
    record = json.loads(paths[1].read_text())
    record["metrics"]["f"]["EX"] += 0.01
    provenance.write_json(paths[1], record)
    problems = trace.trace(table, "hed", "F EX").problems
    assert "seed 1: " in problems[0]
    assert "F EX: the table's cell is not what the records give" in problems[1]
    assert trace.trace(table, "hed", "F MA").problems == [], "the other cells are as they were"
    with pytest.raises(
        RFBenchError, match=r"--metric AUPR XX: .*table6\.csv has mAUPR, .*, AUPR EX, .*, IoU MA, Param"
    ):
        trace.trace(table, "hed", "AUPR XX")
    with pytest.raises(RFBenchError, match=r"--pair dnl: .* has no runs of it; it has those of hed"):
        trace.trace(table, "dnl", "mF")


def test_a_pair_in_every_block_of_table_1_is_one_cell(settings):
    for seed in VALUES:
        write_record(settings, seed)
    table5 = rendered(settings)
    rows = pd.read_csv(table5)
    rows = rows.drop(columns=[column for column in rows if column.startswith(("Param", "FPS"))])
    table = table5.with_name("table1.csv")
    pd.concat([rows.assign(option="alpha"), rows.assign(option="reduction")]).to_csv(table, index=False)
    assert trace.trace(table, PAIR, "mAUPR").problems == []
    with pytest.raises(RFBenchError, match=r"--metric FPS: .*table1\.csv has mAUPR, mF, mIoU, mAP"):
        trace.trace(table, PAIR, "FPS")


def test_cell_of_zero_agrees(settings, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "VALUES", dict.fromkeys(VALUES, 0.0))
    for seed in VALUES:
        write_record(settings, seed)
    assert trace.trace(rendered(settings), PAIR, "mF").problems == []


def test_param_and_speed_come_from_the_profile(settings, capsys):
    write_record(settings, 0)
    costs = recorded.cost("M2MRF-C", 0.8, params_w48=70297900)
    profile = recorded.profile({PAIR: costs})
    provenance.write_json(Path(settings.results) / "profile.json", profile)
    table = rendered(settings)
    for heading, text in (("Param", "70.2979"), ("FPS", "0.8000")):
        assert cli.main(["trace", str(table), "--pair", PAIR, "--metric", heading]) == 0
        assert capsys.readouterr().out.count(text) == 2, "in the profile and in the table"
    costs["fps_ratio"] = 0.81
    provenance.write_json(Path(settings.results) / "profile.json", profile)
    (problem,) = trace.trace(table, PAIR, "FPS").problems
    assert "the table's cell is not what" in problem


def test_changed_record_table_or_checkpoint_disagrees(settings):
    paths = [write_record(settings, seed) for seed in VALUES]
    table = rendered(settings)
    (paths[0].parent / "work" / "model.pth").write_text("another network")
    (problem,) = trace.trace(table, PAIR, "mF").problems
    assert "is not the file of the record's digest" in problem
    record = json.loads(paths[1].read_text())
    record["metrics"]["f"]["mean"] += 0.01
    provenance.write_json(paths[1], record)
    problems = trace.trace(table, PAIR, "mF").problems
    assert len(problems) == 3
    assert "has 0.4471, the metrics file 0.4371" in problems[1]
    assert "is not what the records give" in problems[2]
    assert cli.main(["trace", str(table), "--pair", PAIR, "--metric", "mF"]) == 1


def test_stale_table_disagrees(settings):
    write_record(settings, 0)
    table = rendered(settings)
    with (Path(settings.results) / "metrics.csv").open("a") as file:
        file.write("\n")
    (problem,) = trace.trace(table, PAIR, "mIoU").problems
    assert "is stale" in problem


def test_holes_are_told_with_their_reason(settings):
    write_record(settings, 0)
    write_record(settings, 1, "timeout", "60 s were over at iteration 3")
    found = trace.trace(rendered(settings), PAIR, "mAP")
    assert found.problems == []
    assert "seed 1: timeout – 60 s were over at iteration 3" in found.lines
    assert "seed 2: missing – not trained yet" in found.lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a2u", "mF"), "has no runs of it; it has those of m2mrf_c"),
        ((PAIR, "AUPR"), "has mAUPR, mF, mIoU, mAP, mAP before training, Param, FPS"),
        ((PAIR, "mF", "IDRiD"), "no such data set; it has SYN-IDRiD"),
    ],
)
def test_what_a_table_lacks_is_answered_with_what_it_has(settings, arguments, message):
    write_record(settings, 0)
    with pytest.raises(RFBenchError, match=message):
        trace.trace(rendered(settings), *arguments)


def test_a_pair_on_several_data_sets_needs_the_data_set(settings):
    write_record(settings, 0)
    table = rendered(settings)
    frame = pd.read_csv(table)
    pd.concat([frame, frame.assign(dataset="SYN-other")]).to_csv(table, index=False)
    with pytest.raises(RFBenchError, match="Add --dataset with one of SYN-IDRiD, SYN-other"):
        trace.trace(table, PAIR, "mF")


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(RFBenchError, match=r"expected a table's \.csv file"):
        trace.trace(tmp_path / "absent.csv", PAIR, "mF")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RFBenchError, match=r"expected the columns row, pair, dataset, data, configured, n too"):
        trace.trace(tmp_path / "other.csv", PAIR, "mF")
    (tmp_path / "other.csv").write_text("row,pair,dataset,data,configured,n\nA,a,D,SYN,3,3\n")
    with pytest.raises(RFBenchError, match="expected a table of `rfbench tables`, found the columns row, pair"):
        trace.trace(tmp_path / "other.csv", PAIR, "mF")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b'"', b"{}", b"[" * 100_000])
def test_a_damaged_table_is_one_sentence(tmp_path, content, capsys):
    path = tmp_path / "table5.csv"
    path.write_bytes(content)
    assert cli.main(["trace", str(path), "--pair", PAIR, "--metric", "mF"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"rfbench trace: {path}: expected ")
    assert said.count("\n") == 1


def test_a_pipe_for_a_table_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(RFBenchError, match=r"pipe\.csv: expected a CSV file, found a named pipe"):
        trace.trace(tmp_path / "pipe.csv", PAIR, "mF")


@pytest.mark.parametrize("column", ["row", "pair", "dataset", "data", "configured", "n", "mF_mean", "mF_std"])
def test_a_table_without_a_column_or_with_a_text_for_a_number_is_refused(settings, column):
    write_record(settings, 0)
    table = rendered(settings)
    whole = pd.read_csv(table, dtype=str, keep_default_na=False)
    whole.drop(columns=column).to_csv(table, index=False)
    with pytest.raises(
        RFBenchError, match=rf"table5\.csv: expected the columns {column} too|--metric mF: .* has mAUPR"
    ):
        trace.trace(table, PAIR, "mF")
    if column in ("configured", "n", "mF_mean", "mF_std"):
        whole.assign(**{column: "bogus"}).to_csv(table, index=False)
        with pytest.raises(RFBenchError, match=rf"line 2, {column}: expected a number, found 'bogus'"):
            trace.trace(table, PAIR, "mF")


def test_every_state_of_a_run_is_told(settings):
    """done, timeout (a record), error (a training's last words), missing: each configured run has its rows."""
    settings = changed(settings, "seeds", (0, 1, 2, 3))
    write_record(settings, 0)
    write_record(settings, 1, "timeout", "60 s were over")
    folders = {seed: run_folder(settings.results, "SYN-IDRiD", PAIR, seed) for seed in (2, 3)}
    provenance.write_json(folders[2] / "work" / "error.json", {"reason": "OSError: disk"})
    provenance.write_json(folders[3] / "train.json", {})
    runs = aggregate.aggregate(settings).query("metric == 'ap' and lesion == 'mean'").set_index("seed")
    assert dict(runs["state"]) == {0: "done", 1: "timeout", 2: "error", 3: "missing"}
    assert list(runs["reason"])[1:] == ["60 s were over", "OSError: disk", "trained, not evaluated yet"]
    assert runs["value"].notna().tolist() == [True, False, False, False]


def test_records_of_another_configuration_are_no_result_of_this_one(settings):
    write_record(settings, 0)
    other = changed(settings, "datasets.SYN-IDRiD.iterations", 5)
    row = aggregate.aggregate(other).query("seed == 0 and metric == 'ap'").iloc[0]
    assert (row["state"], row["reason"]) == ("missing", "recorded with other settings, to be run again")
