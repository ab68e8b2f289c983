"""The acceptance of a GPU, rehearsed on the CPU: the checks, the report, and going on where it was cut off."""

import json
import sys
from dataclasses import asdict, replace

import pytest
import torch

from rfbench import cli
from rfbench.errors import RFBenchError
from rfbench.profiling import accept
from rfbench.profiling.accept import CHECKS, Asked, Finding
from rfbench.profiling.suite import Suite

SMALL = Suite(
    pairs=("strideconv_bilinear", "m2mrf_c"), backbone="hrnetv2_embedded", crop=(96, 64), batch=2, iterations=12,
    device="cpu",
)  # fmt: skip
ASKED = Asked(SMALL)


def checking(monkeypatch, findings: dict[str, Finding | None]) -> list[str]:
    """Let `_run` find this, None for what ends the whole command; the names of the checks that ran."""
    ran = []

    def run(asked, name, folder, deadline):
        ran.append(name)
        found = findings.get(name, Finding("passed", f"figure of {name}"))
        if found is None:
            raise KeyboardInterrupt
        (folder / f"{name}.json").write_text(json.dumps(asdict(found)))
        return found

    monkeypatch.setattr(accept, "_run", run)
    return ran


def test_every_check_has_a_function_and_they_run_in_order(monkeypatch, tmp_path):
    from rfbench.profiling.acceptance import _CHECKS

    assert list(_CHECKS) == list(CHECKS)
    ran = checking(monkeypatch, {"loader": Finding("failed", "the loader | bounds"), "jobs": Finding("skipped", "cpu")})
    record = accept.accept(ASKED, 30, tmp_path / "a.json")
    assert ran == list(CHECKS)
    assert record == json.loads((tmp_path / "a.json").read_text()) | {"suite": asdict(SMALL)}
    report = (tmp_path / "a.md").read_text()
    assert report.startswith(f"# Acceptance: {len(CHECKS) - 2} passed, 1 failed, 1 skipped\n")
    rows = [line for line in report.splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == list(CHECKS)
    assert "| loader | the loader of samples keeps up with the network | failed | the loader \\| bounds |" in rows


def test_it_goes_on_where_it_was_cut_off_and_looks_again_at_what_failed(monkeypatch, tmp_path):
    output = tmp_path / "a.json"
    cut = checking(monkeypatch, {"losses": Finding("failed", "far"), "speed": None})
    with pytest.raises(KeyboardInterrupt):
        accept.accept(ASKED, 30, output)
    assert cut == ["device", "losses", "memory", "speed"]
    states = {name: check["state"] for name, check in json.loads(output.read_text())["checks"].items()}
    assert (states["memory"], states["losses"], states["pairs"]) == ("passed", "failed", "missing")
    again = checking(monkeypatch, {})
    record = accept.accept(ASKED, 30, output)
    assert again == ["losses", *list(CHECKS)[3:]], "what passed is not repeated"
    assert {check["state"] for check in record["checks"].values()} == {"passed"}


def test_what_the_time_does_not_allow_is_missing(monkeypatch, tmp_path):
    assert checking(monkeypatch, {}) == []
    record = accept.accept(ASKED, 0, tmp_path / "a.json")
    assert {check["state"] for check in record["checks"].values()} == {"missing"}


def test_findings_of_something_else_are_refused(monkeypatch, tmp_path):
    checking(monkeypatch, {})
    accept.accept(ASKED, 30, tmp_path / "a.json")
    with pytest.raises(RFBenchError, match=r"findings of another acceptance \(suite\)\. Delete"):
        accept.accept(Asked(Suite(pairs=("m2mrf_c",))), 30, tmp_path / "a.json")


@pytest.mark.parametrize(("code", "figure"), [
    ("import sys; print('no such driver', file=sys.stderr); sys.exit(7)", "status 7: no such driver"),
    ("import time; time.sleep(60)", "longer than the time left"),
    ("import os; os.kill(os.getpid(), 11)", "status -11"),
])  # fmt: skip
def test_a_check_that_ends_its_process_or_hangs_has_failed(monkeypatch, tmp_path, code, figure):
    executable = tmp_path / "python"
    executable.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    executable.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(executable))
    finding = accept._run(ASKED, "device", tmp_path, deadline=0)
    assert finding.state == "failed"
    assert figure in finding.figure


def test_a_checks_process_is_given_all_that_is_asked(monkeypatch, tmp_path):
    """The options of the other process make the same suite again."""
    seen = {}
    monkeypatch.setattr("rfbench.profiling.acceptance.run", lambda asked, name, folder: (
        seen.update(asked=asked, name=name, folder=folder), Finding("passed", "well"))[1])  # fmt: skip
    asked = Asked(SMALL, checkpoint="authors.pth", pair="m2mrf_c", data="data/IDRiD")
    status = cli.main(["gpu", *asked.options(), "--check", "losses", "--output", str(tmp_path / "losses.json")])
    assert (status, seen) == (0, {"asked": asked, "name": "losses", "folder": tmp_path})
    assert json.loads((tmp_path / "losses.json").read_text()) == {"state": "passed", "figure": "well"}


def test_a_method_is_tried_by_its_own_recipe(monkeypatch, tmp_path):
    from rfbench.profiling import acceptance

    tried = {}

    def updates(suite, recipe, competitor, count):
        tried[competitor] = recipe.optimizer.type, recipe.optimizer.lr, count
        return ([float("nan")] if competitor == "hed" else [0.5]), []

    monkeypatch.setattr(acceptance, "_updates", updates)
    suite = replace(SMALL, pairs=("strideconv_bilinear", "hed", "swin_upernet"))
    found = acceptance.run(Asked(suite), "pairs", tmp_path)
    assert (found.state, found.figure) == ("failed", "2 of 3 pairs and methods; hed: losses [nan]")
    assert tried == {"strideconv_bilinear": ("SGD", 0.01, 10), "hed": ("SGD", 0.01, 10),
                     "swin_upernet": ("AdamW", 6e-5, 10)}  # fmt: skip


@pytest.mark.parametrize("wrong", [False, True])
def test_a_compiler_that_computes_something_else_is_seen(monkeypatch, wrong):
    """Here one that leaves the network as it is, or drops what is below zero."""
    from rfbench.profiling import acceptance

    def compiling(model):
        return (lambda images: model(images).relu()) if wrong else model

    monkeypatch.setattr(torch, "compile", compiling)
    differences = acceptance.compiled_differences(SMALL, torch.device("cpu"))
    assert set(differences) == {"strideconv_bilinear", "m2mrf_c"}
    assert all((difference > 0.1) == wrong for difference in differences.values())


@pytest.mark.slow
def test_the_rehearsal_on_a_cpu(tmp_path):
    """All checks as a user runs them; what needs a GPU is skipped."""
    output = tmp_path / "acceptance.json"
    status = cli.main(["gpu", *ASKED.options(), "--accept", "--minutes", "30", "--output", str(output)])
    checks = json.loads(output.read_text())["checks"]
    states = {name: check["state"] for name, check in checks.items()}
    figures = {name: check["figure"] for name, check in checks.items()}
    assert {name for name, state in states.items() if state == "skipped"} == {
        "device", "memory", "compiled", "jobs", "checkpoint",
    }  # fmt: skip
    assert [name for name in ("losses", "speed", "pairs", "resume") if states[name] != "passed"] == [], figures
    assert status == int("failed" in states.values()), "a machine of few cores may be bound by its loader"
    assert "resumed, weights equal, losses differ by at most 0.0e+00" in figures["resume"]
    assert "2 of 2 pairs" in figures["pairs"]
    assert "float16" in figures["losses"]
