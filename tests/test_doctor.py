"""`rfbench doctor` on a narrow terminal: each missing file once, no name cut, paths relative."""

import argparse
import shutil

import pytest

from rfbench.commands import doctor

from .checkout import ROOT


@pytest.fixture
def lines(tmp_path, monkeypatch, capsys):
    """What the command prints in 80 columns, run in a folder whose own path is longer than a column."""
    folder = tmp_path / "a folder of the machine" / "with-a-path-longer-than-any-column-of-the-table"
    (folder / "config").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("RFBENCH_DATA", str(folder / "data"))

    def printed(*names: str) -> tuple[int, list[str]]:
        for name in names:
            shutil.copy(ROOT / "config" / name, folder / "config")
        paths = [folder / "config" / name for name in names]
        arguments = argparse.Namespace(lock=ROOT / "envs" / "cpu.txt", config=paths)
        return doctor.run(arguments), capsys.readouterr().out.splitlines()

    return printed


def test_an_archive_that_three_configurations_lack_is_one_line(lines, tmp_path):
    status, printed = lines("idrid.yaml", "idrid_cpu.yaml", "paper.yaml", "ci.yaml")
    text = "\n".join(printed)
    assert status == 1
    assert max(map(len, printed)) <= 80
    assert "…" not in text
    assert str(tmp_path) not in text
    for name in ("idrid", "idrid_cpu", "ci"):
        assert text.count(f"config/{name}.yaml") == 1, name
    assert text.count("config/paper.yaml") == 2, "it lacks both archives"
    assert text.count("data/DDR-dataset.zip.001") == 1
    assert " ".join(text.split()).count("Download the archive") == 2
    (first,) = [number for number, line in enumerate(printed) if "data/A." in line]
    beside = [line.split()[0] for line in printed[first : first + 3]]
    assert beside == ["config/idrid.yaml", "config/idrid_cpu.yaml", "config/paper.yaml"]


def test_a_configuration_with_its_data_is_fine_and_one_with_a_mistake_is_told(lines, tmp_path):
    status, printed = lines("ci.yaml")
    assert "valid, and the data is there" in " ".join(" ".join(printed).split())
    assert status == int(any(" missing " in line for line in printed)), "the environment's own state"
    broken = tmp_path / "broken.yaml"
    broken.write_text("datasets: [1, 2]\n")
    ((name, state, sentence),) = doctor.check_configurations([broken])
    assert (name, state) == (str(broken), "missing")
    assert "datasets: expected a mapping" in sentence


def test_files_of_a_kind_are_told_apart(tmp_path, monkeypatch):
    """Two configurations that lack different files have a line each."""
    monkeypatch.setenv("RFBENCH_DATA", str(tmp_path))
    findings = doctor.check_configurations([ROOT / "config" / name for name in ("ddr.yaml", "idrid.yaml")])
    assert [state for _, state, _ in findings] == ["missing", "missing"]
    assert "DDR-dataset.zip.001 does not exist" in findings[0][2]
    assert "A. Segmentation.zip does not exist" in findings[1][2]
