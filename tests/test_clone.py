"""A clone may lie anywhere: its path may have spaces and an apostrophe; what no program can start from is refused."""

import shutil
import subprocess

import pytest

from .checkout import ROOT, Checkout

NAME = "it's a clone (of mine) & more"


@pytest.mark.slow
def test_the_pipeline_runs_in_a_folder_with_spaces_and_an_apostrophe(tmp_path):
    checkout = Checkout(tmp_path / NAME)
    evaluated = "results/ci/runs/SYN-IDRiD/strideconv_bilinear/seed0/evaluation.json"
    checkout.snakemake("--cores", "2", "--", evaluated)
    assert (checkout.folder / evaluated).exists()
    assert checkout.planned("--", evaluated) == {}


@pytest.mark.parametrize("name", ['a "clone"', "a:clone"])
def test_an_environment_that_could_not_start_is_not_built(tmp_path, name):
    (tmp_path / name / "envs").mkdir(parents=True)
    for file in ("install.sh", "cpu.txt"):
        shutil.copy(ROOT / "envs" / file, tmp_path / name / "envs")
    command = ["envs/install.sh", "envs/cpu.txt", ".venv"]
    done = subprocess.run(command, cwd=tmp_path / name, capture_output=True, text=True)
    assert done.returncode == 1
    assert "whose path has a double quote or a colon. Move the clone." in done.stderr
    assert not (tmp_path / name / ".venv").exists()
