"""metrics.csv, profile.json and the records of runs: whatever they hold, what is read is what a run may give."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rfbench import cli, records
from rfbench.errors import RFBenchError
from rfbench.names import STATES
from rfbench.report.reading import COLUMNS, read_costs, read_metrics, read_profile
from rfbench.runs import of
from rfbench.settings import complete

from .. import recorded
from ..checkout import SMALLEST
from .standard import NAMES, PLAIN, damaged, everything_below, held

ROW = {
    **dict.fromkeys(COLUMNS, ""), "dataset": "IDRiD", "pair": "m2mrf_c", "seed": "0", "metric": "ap", "lesion": "mean",
    "value": "0.5", "n": "27", "state": "done", "kind": "idrid", "layout": "idrid", "split": "test",
    "synthetic": "False", "row": "M2MRF-C", "backbone": "hrnetv2_w48",
}  # fmt: skip
OTHER = ROW | {"seed": "1", "value": ""}
CELLS = st.one_of(NAMES, st.sampled_from(["500", "1e400", "-1", "bogus", "x", "nan", "inf", "0x1", "1_0", "9" * 400]))


def table(*rows: dict[str, str]) -> bytes:
    lines = [",".join(COLUMNS), *(",".join(row.values()) for row in rows)]
    return "\n".join([*lines, ""]).encode(errors="replace")


def check_metrics(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "metrics.csv"
        path.write_bytes(content)
        frame = held(lambda: read_metrics(path))
        if isinstance(frame, RFBenchError):
            return
        assert set(frame["state"]) <= set(STATES)
        shares = frame.loc[frame["metric"].isin(["ap", "aupr11", "f", "iou", "precision", "recall"]), "value"].dropna()
        assert shares.between(0, 1).all()
        before, out = everything_below(Path(name)), Path(name) / "out"
        held(lambda: cli.main(["tables", "--metrics", str(path), "--output", str(out)]))
        assert {file for file in everything_below(Path(name)) if not file.startswith("out/")} == set(before)


@given(content=damaged(table(ROW, OTHER)))
@example(content=b"")
@example(content=b"\xff\xfe")
@example(content=b"\n")
@example(content=table(ROW, ROW))
def test_bytes_of_metrics(content):
    check_metrics(content)


@given(column=st.sampled_from(COLUMNS), cell=CELLS)
@example(column="dataset", cell="../../x")
@example(column="value", cell="500")
@example(column="state", cell="bogus")
def test_cells_of_metrics(column, cell):
    check_metrics(table(ROW | {column: cell}, OTHER))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"value": "5"}, r"line 2, value of 'ap': expected a fraction from 0 to 1, found '5'"),
        ({"value": "1e400"}, "expected a fraction from 0 to 1, found '1e400'"),
        ({"value": "nan"}, "expected a fraction from 0 to 1, found 'nan'"),
        ({"metric": "lesions", "value": "1.5"}, "expected a whole number of at least 0, found '1.5'"),
        ({"metric": "fp_per_image", "value": "-1"}, "expected a number of at least 0, found '-1'"),
        ({"metric": "bogus"}, "value of 'bogus': expected a metric of `rfbench evaluate`"),
        ({"state": "bogus"}, "line 2, state: expected one of done, .*, found 'bogus'"),
        ({"seed": "x"}, "line 2, seed: expected a whole number, found 'x'"),
        ({"seed": "1"}, "line 3: expected every run's metric once, found IDRiD m2mrf_c 1 ap mean again"),
        ({"dataset": "../x"}, r"line 2, dataset: expected a name of letters, digits, _ and -, found '\.\./x'"),
    ],
)
def test_what_no_run_gives_is_refused(tmp_path, change, sentence):
    path = tmp_path / "metrics.csv"
    path.write_bytes(table(ROW | change, OTHER))
    with pytest.raises(RFBenchError, match=sentence):
        read_metrics(path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b'"', b"{}"])
def test_no_table_is_a_sentence(tmp_path, content, capsys):
    (tmp_path / "metrics.csv").write_bytes(content)
    words = ["--metrics", str(tmp_path / "metrics.csv"), "--output", str(tmp_path / "out")]
    for command in ("tables", "verdicts", "figures"):
        assert cli.main([command, *words]) == 1
        assert "metrics.csv: expected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["tables", "verdicts", "figures"])
def test_what_a_terminal_would_obey_is_escaped_in_a_folders_name(tmp_path, command, capsys):
    (tmp_path / "metrics.csv").write_bytes(table(ROW | {"state": "missing", "value": "", "n": "0"}))
    out = tmp_path / "a\x1b[2J\nb"
    assert cli.main([command, "--metrics", str(tmp_path / "metrics.csv"), "--output", str(out)]) == 0
    printed = capsys.readouterr().err
    assert "a\\x1b[2J\\nb" in printed
    assert all(line.isprintable() for line in printed.splitlines())


def test_a_sound_one_is_read(tmp_path):
    (tmp_path / "metrics.csv").write_bytes(table(ROW, OTHER))
    assert read_metrics(tmp_path / "metrics.csv")["value"].tolist()[:1] == [0.5]


RUN = of(complete(SMALLEST), "SYN-IDRiD", "m2mrf_c", 0)
PROFILE = recorded.profile({"m2mrf_c": recorded.cost("M2MRF-C", 0.8)})
READERS = {
    "train.json": (records.read_training, recorded.training(RUN, manifest="0" * 64, weights="0" * 64)),
    "evaluation.json": (records.read_evaluation, recorded.evaluation(RUN, 0.5)),
    "profile.json": (lambda path: read_profile(path.parent), PROFILE),
    "gpu.json": (
        read_costs,
        {"blocks": {"float32": PROFILE}, "suite": {"crop": [64, 64], "batch": 1, "backbone": "hrnetv2_w48"},
         "provenance": recorded.ORIGIN},
    ),
}  # fmt: skip


def check_record(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        held(lambda: READERS[name][0](path))


@given(name=st.sampled_from(list(READERS)), data=st.data())
def test_bytes_of_records(name, data):
    check_record(name, data.draw(damaged(json.dumps(READERS[name][1]).encode())))


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


@given(name=st.sampled_from(list(READERS)), data=st.data())
def test_values_of_records(name, data):
    record = READERS[name][1]
    key = data.draw(st.sampled_from(list(record)))
    check_record(name, json.dumps(record | {key: data.draw(PLAIN.filter(_is_json))}).encode())


@pytest.mark.parametrize("name", list(READERS))
def test_sound_records_are_read_and_none_without_a_key(tmp_path, name):
    read, record = READERS[name]
    path = tmp_path / name
    path.write_text(json.dumps(record))
    read(path)
    for content in ("{}", "[]", "", "\x00"):
        path.write_text(content)
        with pytest.raises(RFBenchError, match=name.replace(".", r"\.")):
            read(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"state": "bogus"}, "state: expected one of done, .*, found 'bogus'"),
        ({"n_images": 0}, "n_images: expected the number of images, found 0"),
        ({"metrics": {}}, "metrics: expected by lesion fractions or null, .*, found nothing at 'aupr11'"),
        ({"metrics": {**READERS["evaluation.json"][1]["metrics"], "ap": {"mean": 5}}}, r"found 5 at 'ap\.mean"),
    ],
)
def test_a_record_that_no_evaluation_writes_is_refused(tmp_path, change, sentence):
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(READERS["evaluation.json"][1] | change))
    with pytest.raises(RFBenchError, match=sentence):
        records.read_evaluation(path)


@pytest.mark.parametrize("name", ["w48_cpu.json", "w48_cpu_again.json"])
def test_profiles_that_the_project_keeps_are_read(name):
    profiles, _, _ = read_costs(Path(__file__).parents[2] / "results" / "measured" / name)
    assert profiles[""]["pairs"]


def test_metrics_that_the_project_keeps_are_read():
    assert len(read_metrics(Path(__file__).parents[2] / "results" / "measured" / "idrid_cpu.csv")) > 100
