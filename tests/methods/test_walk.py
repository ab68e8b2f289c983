"""A newcomer's way: a file, a line, and the method stands in Tables 4 or 6 and on the page, whatever else was done."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ..checkout import Checkout
from ..test_pipeline import FROM_METRICS, FROM_PROFILE

OWN = {"train": 1, "evaluate": 1} | FROM_METRICS | FROM_PROFILE


def with_rfbench(checkout: Checkout, *words: str) -> str:
    command = [sys.executable, "-m", "rfbench", *words]
    done = subprocess.run(command, cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def install(checkout: Checkout, site: Path, module: str) -> None:
    """A package `nets` with a method `packaged`."""
    (site / "nets-1.dist-info").mkdir(parents=True)
    (site / "nets_module.py").write_text(module)
    (site / "nets-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: nets\nVersion: 1\n")
    (site / "nets-1.dist-info" / "entry_points.txt").write_text("[rfbench.methods]\npackaged = nets_module\n")
    checkout.environment["PYTHONPATH"] += os.pathsep + str(site)


@pytest.mark.slow
def test_a_new_method_needs_one_file_and_one_line_and_executes_its_own_runs_only(tmp_path):
    checkout = Checkout(tmp_path / "project")
    checkout.snakemake("--cores", "2")
    before = (checkout.folder / "results/ci/metrics.csv").read_text()
    kept = {file: file.stat().st_mtime_ns for file in (checkout.folder / "results/ci/runs").rglob("*")
            if file.is_file()}  # fmt: skip
    assert "added to methods" in with_rfbench(checkout, "new-method", "my_net", "--config", "config/ci.yaml")
    file = checkout.folder / "workflow/rfbench/methods/my_net.py"
    assert checkout.planned() == OWN
    assert "kept" in with_rfbench(checkout, "check", "my_net", "--fast")
    checkout.snakemake("--cores", "2")
    assert {file: file.stat().st_mtime_ns for file in kept} == kept, "the pairs' runs stay as they were"
    after = (checkout.folder / "results/ci/metrics.csv").read_text()
    lines = {line.removesuffix(",") for line in after.splitlines()}  # of the pairs, whose column `method` is empty
    assert set(before.splitlines()[1:]) <= lines

    table = pd.read_csv(checkout.folder / "reports/ci/tables/table6.csv").set_index("row")
    assert (table.loc["MyNet", "pair"], table.loc["MyNet", "n"]) == ("my_net", 1)
    assert table.loc["MyNet", ["mAUPR_mean", "F SE_mean", "IoU MA_mean", "Param_M", "FPS_ratio"]].notna().all()
    assert table.loc["HRNetV2", "pair"] == "strideconv_bilinear"
    assert "MyNet" in (checkout.folder / "reports/ci/tables/table6.tex").read_text()
    assert "MyNet" not in (checkout.folder / "reports/ci/tables/table5.csv").read_text()
    page = (checkout.folder / "reports/ci/report.html").read_text()
    assert page.count("MyNet") > 10
    assert 'id="SYN-IDRiD.methods"' in page
    told = with_rfbench(checkout, "trace", "reports/ci/tables/table6.csv", "--pair", "my_net", "--metric", "mAUPR")
    assert "agrees with the records" in told
    differences = pd.read_csv(checkout.folder / "results/ci/differences.csv")
    assert "my_net" in set(differences["pair"])

    text = file.read_text()
    file.write_text(text + "# edited\n")
    assert checkout.planned() == {}, "a comment"
    file.write_text(text + "EDITED = True\n")
    assert checkout.planned() == OWN, "its own runs alone"
    file.write_text(text)
    install(checkout, tmp_path / "site", text.replace('label="MyNet"', 'label="Packaged"'))
    checkout.edit("config/ci.yaml", "[my_net]", "[my_net, packaged]")
    assert checkout.planned() == OWN, "the package's method alone"
    (tmp_path / "site" / "nets_module.py").write_text("METHOD = None\n")
    done = subprocess.run([sys.executable, "-m", "rfbench", "check", "packaged"], cwd=checkout.folder,
                          env=checkout.environment, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1
    assert "package nets (entry point 'packaged'): expected METHOD = Method(…)" in done.stderr
