"""The probe from end to end: the rules, the smallest configuration, a new operator's walk, the plan, the report."""

import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from rfbench import cli, stages
from rfbench.errors import RFBenchError
from rfbench.planning import probe as planning
from rfbench.probe import analysis, figures, records, report
from rfbench.probe.groups import Group
from rfbench.probe.pipeline import ProbePipeline
from rfbench.probe.protocol import registered
from rfbench.probe.run import run_group

from ..checkout import ROOT, Checkout
from .conftest import CHANGES
from .drawn import table

SMALLEST = "config/probe_ci.yaml"
PROTOCOL = registered()
PAIRS = ["strideconv_bilinear", "m2mrf_a", "m2mrf_c", "maxpool_bilinear", "indexnet"]


@pytest.mark.slow
def test_jobs_of_the_whole_probe_and_of_the_registered_one_without_a_configuration(tmp_path):
    checkout = Checkout(tmp_path)
    jobs = {"probe_fusion": 20, "probe_serial": 20, "probe_copy": 4 + 17 + 4 + 18, "probe": 1}
    assert checkout.planned("--configfile", "config/probe.yaml") == jobs
    assert checkout.planned("probe", "--configfile", "config/ci.yaml") == jobs


def test_another_choice_of_pairs_changes_no_job(tmp_path):
    one, other = (
        ProbePipeline({"probe": {"pairs": pairs, "results": str(tmp_path)}}, ROOT)
        for pairs in (["m2mrf_c"], ["m2mrf_c", "lip_bilinear"])
    )
    assert one.config_file != other.config_file  # a resource, which makes no job run again
    assert one.protocol_digest == other.protocol_digest
    shell = (ROOT / "workflow" / "rules" / "probe.smk").read_text()
    assert not re.search(r"params:[^:]*config", shell)


def test_a_group_depends_on_its_own_operators_and_not_on_how_it_is_judged():
    def files(pair=None):
        return {piece.partition(":")[0] for piece in stages.parts("probe", pair)}

    assert files("m2mrf_c") - files() == {"operators/m2mrf.py"}
    assert "rfbench/probe/training.py" in files()
    assert not files() & {"rfbench/probe/analysis.py", "rfbench/probe/report.py", "rfbench/commands/probe.py"}
    assert not files() & {"rfbench/models/hrnet.py", "rfbench/statistics/holm.py"}


@pytest.mark.slow
def test_the_smallest_probe_from_end_to_end_resumes_and_runs_nothing_twice(tmp_path):
    checkout = Checkout(tmp_path)
    checkout.edit(SMALLEST, "[m2mrf_c, maxpool_maxunpool, indexnet]", "[m2mrf_c]")
    checkout.snakemake("--cores", "2", "--configfile", SMALLEST)
    text = (tmp_path / "reports/probe_ci/tables/probe.md").read_text()
    assert "Not the registered experiment" in text
    assert "training.steps 4 instead of 200" in text
    assert "| not tested |" in text
    assert "M2MRF-C" in text
    for name in figures.NAMES:
        assert (tmp_path / f"reports/probe_ci/figures/{name}.png").stat().st_size > 5_000
    found = pd.read_csv(tmp_path / "results/probe_ci.csv")
    assert set(found["arm"]) == {"fusion", "serial"}
    assert checkout.planned("--configfile", SMALLEST) == {}
    whole = {path: path.read_bytes() for path in tmp_path.glob("results/probe_ci/runs/fusion/m2mrf_c/*.json")}
    shutil.rmtree(tmp_path / "results/probe_ci/runs/fusion/m2mrf_c")
    (tmp_path / "results/probe_ci.csv").unlink()  # whose absence lets Snakemake ask for the group
    checkout.snakemake("--cores", "2", "--configfile", SMALLEST)
    again = {path: path.read_bytes() for path in whole}
    assert all(again[path] == whole[path] for path in whole if path.name != "times.json")


@pytest.mark.slow
def test_a_new_operator_s_walk(tmp_path):
    """`rfbench new-operator`, then `rfbench probe --pairs`: where it stands, with intervals, beside the baseline."""
    checkout = Checkout(tmp_path)

    def rfbench(*arguments):
        command = [sys.executable, "-m", "rfbench", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=checkout.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert "rfbench probe --pairs newcomer_bilinear" in rfbench("new-operator", "newcomer")
    said = rfbench("probe", "--config", SMALLEST, "--pairs", "newcomer_bilinear", "--arms", "fusion", "--copies")
    assert re.search(r"Newcomer/Bilinear +\d+\.\d +[+-]\d+\.\d \([+-]\d+\.\d to [+-]\d+\.\d\)", said)
    assert "control again, arm fusion" in said
    assert "StrideConv/Bilinear" in said


def rendered(tmp_path, records_, pairs=PAIRS, arms=("fusion", "serial"), protocol=PROTOCOL, holes=None) -> str:
    outcome = analysis.conclude(records_, protocol, pairs, arms)
    report.write(tmp_path, records_, outcome, protocol, holes or {}, report.ordered(pairs))
    return (tmp_path / "probe.md").read_text()


def test_the_table_says_first_whether_the_probe_is_void(tmp_path):
    sound = table(PROTOCOL, PAIRS, {"m2mrf_a": 0.5, "m2mrf_c": 0.5})
    text = rendered(tmp_path, sound)
    assert text.splitlines()[2] == "**All controls passed.**"
    assert "| supported |" in text
    leaking = sound.assign(ap=sound["ap"] + 0.05 * (sound["copy"] == "permuted"))
    text = rendered(tmp_path, leaking)
    assert text.splitlines()[2].startswith("**VOID: control permuted (fusion), permuted (serial) failed")
    assert "| supported (void) |" in text
    assert "| supported |" not in text
    flat = pd.read_csv(tmp_path / "probe.csv")
    assert set(flat["void"]) == {"permuted (fusion); permuted (serial)"}
    assert set(flat["H1"].dropna()) <= {"supported (void)", "not supported (void)", "falsified (void)"}
    unfinished = sound[sound["copy"] != "permuted"]
    text = rendered(tmp_path, unfinished, holes={"fusion/strideconv_bilinear--permuted": "not run yet"})
    assert text.splitlines()[2].startswith("**Preliminary: control permuted (fusion), permuted (serial) is not done")
    assert "| supported (controls open) |" in text
    assert "- Hole, not run yet: fusion/strideconv_bilinear--permuted." in text


def test_support_of_h2_that_is_a_smaller_loss_is_called_so(tmp_path):
    drawn = table(PROTOCOL, PAIRS, {"m2mrf_a": 0.1, "indexnet": 0.4}, among={"m2mrf_a": 0.1, "indexnet": 0.1})
    outcome = analysis.conclude(drawn, PROTOCOL, PAIRS, ())
    found = {gain.pair: gain for gain in outcome.gains}
    assert found["m2mrf_a"].h2 == found["indexnet"].h2 == analysis.SUPPORTED
    assert found["m2mrf_a"].among.mean - found["m2mrf_a"].alone.mean == pytest.approx(found["m2mrf_a"].coexisting.mean)
    assert outcome.hollow == ["m2mrf_a"]
    text = rendered(tmp_path, drawn)
    assert "For M2MRF-A both are losses" in text
    assert "of M2MRF-A both are losses" in (tmp_path / "probe.tex").read_text()


def test_numbers_of_the_table_are_those_of_the_records(tmp_path):
    drawn = table(PROTOCOL, PAIRS, {"m2mrf_a": 0.5})
    text = rendered(tmp_path, drawn)
    chosen = drawn[(drawn["arm"] == "fusion") & (drawn["network"] == "m2mrf_a") & (drawn["copy"] == "")]
    chosen = chosen[(chosen["coexisting"] == "all")]
    tiny = chosen[chosen["cells"] <= 2].groupby("seed")["ap"].mean()
    half = 2.0930240544 * tiny.std() / 20**0.5  # t(.975, 19)
    shown = f"{100 * tiny.mean():.1f} ({100 * (tiny.mean() - half):.1f} to {100 * (tiny.mean() + half):.1f})"
    row = next(line for line in text.splitlines() if line.startswith("| M2MRF-A | 20 "))  # of arm fusion, the first
    assert shown in row
    flat = pd.read_csv(tmp_path / "probe.csv").set_index(["arm", "network"])
    assert flat.loc[("fusion", "m2mrf_a"), "tiny"] == pytest.approx(tiny.mean(), abs=1e-5)
    assert flat.loc[("fusion", "m2mrf_a"), "cells1"] == pytest.approx(
        chosen[chosen["cells"] == 1]["ap"].mean(), abs=1e-5
    )
    tex = (tmp_path / "probe.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{table}") == 2
    assert "IDRiD: Spearman's correlation" in tex


def test_the_report_of_a_table_alone(tmp_path, capsys):
    """Kept records render without the folder of runs."""
    records.write(table(PROTOCOL, PAIRS, {}), tmp_path / "kept.csv")
    arguments = ["--config", str(ROOT / "config" / "probe.yaml"), "--table", str(tmp_path / "kept.csv")]
    assert cli.main(["probe-report", *arguments, "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert "All controls passed; H1 falsified" in said
    assert re.search(r"no run in kept\.csv: .*fusion/lip_bilinear, ", said)
    assert "MaxPool/Bilinear" in (tmp_path / "tables" / "probe.md").read_text()
    for name in figures.NAMES:
        assert (tmp_path / "figures" / f"{name}.pdf").stat().st_size > 2_000


def test_the_plan_counts_what_is_left(smallest):
    probe = smallest(copies=("matched",))
    rows = {row["kind"]: row for row in planning.plan(probe, 2)}
    # Reference, shuffle, no low branch and the pair try two rates on one seed and run two; two controls and a copy two.
    assert (rows["all"]["runs"], rows["all"]["done"], rows["all"]["groups"]) == (4 * 4 + 3 * 2, 0, 7)
    assert rows["all"]["seconds"] > 0
    list(run_group(probe.protocol, Group("fusion", "maxpool_bilinear"), probe.results))
    later = {row["kind"]: row for row in planning.plan(probe, 2)}
    assert later["all"]["done"] == 4
    assert later[planning.KINDS[0]]["done"] == 4


def test_the_plan_of_a_probe_is_printed_and_takes_no_other_options(tmp_path, capsys, smallest, monkeypatch):
    monkeypatch.setattr(planning, "run_seconds", lambda protocol, group: 3.0)
    assert cli.main(["plan", str(ROOT / "config" / "probe.yaml"), "--jobs", "2"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"all +83 +2020 ", said)
    assert cli.main(["plan", str(ROOT / "config" / "probe.yaml"), "--detect", "1"]) == 1
    assert "expected neither for a probe" in capsys.readouterr().err
    with pytest.raises(RFBenchError):
        planning.count(smallest(pairs=("unknown",)), Group("fusion", "unknown"))


def test_departures_reach_the_table(tmp_path, smallest):
    protocol = smallest(changes={**CHANGES}).protocol
    text = rendered(tmp_path, table(protocol, PAIRS, {}), protocol=protocol)
    assert "**Not the registered experiment**" in text
    assert "seeds.test [0, 1] instead of" in text
    assert "falsified |" not in text
