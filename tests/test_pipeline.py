"""The pipeline: what the rules ask for, what runs again, and the smallest benchmark from end to end."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml
from matplotlib.figure import Figure
from matplotlib.text import Text
from mmseg.models.backbones import HRNet

from rfbench import cli, provenance, stages
from rfbench.errors import RFBenchError
from rfbench.models import backbones
from rfbench.names import METRICS
from rfbench.pipeline import Pipeline, keep_freed_memory, own_directory
from rfbench.report import plotting
from rfbench.runs import run_folder

from .checkout import ROOT, SMALLEST, SNAKEMAKE, Checkout, without_speeds
from .test_devices import fake_gpus


def test_every_run_of_the_matrix_is_asked_for():
    pipeline = Pipeline({**SMALLEST, "seeds": [0, 3]})
    files = pipeline.every_run("train.json")
    assert len(files) == 4
    assert "results/ci/runs/SYN-IDRiD/m2mrf_c/seed3/train.json" in files


@pytest.mark.slow
def test_examples_take_the_lowest_seed_and_are_a_target_of_their_own(tmp_path):
    pipeline = Pipeline({**SMALLEST, "seeds": [3, 1]})
    assert {Path(file).parent.name for file in pipeline.lowest_seed("masks.npz")} == {"seed1"}
    assert len(pipeline.lowest_seed("masks.npz")) == 2
    checkout, jobs = (
        Checkout(tmp_path),
        {"prepare": 1, "lesions": 1, "train": 2, "evaluate": 2, "aggregate": 1, "panels": 1},
    )
    assert (
        checkout.planned("panels", "--configfile", "config/ci.yaml", "--config", "pairs=[strideconv_bilinear,m2mrf_c]")
        == jobs
    )


@pytest.mark.slow
def test_jobs_of_the_whole_experiment(tmp_path):
    checkout = Checkout(tmp_path)
    jobs = {"prepare": 2, "lesions": 2, "weights": 1, "train": 108, "evaluate": 108}
    jobs |= dict.fromkeys(("aggregate", "statistics", "profile", "costs", "tables", "verdicts", "figures", "page"), 1)
    assert checkout.planned("--configfile", "config/paper.yaml") == jobs
    rows = {**jobs, "train": 90, "evaluate": 90}
    assert checkout.planned("--configfile", "config/paper.yaml", "--config", "paper_rows_only=true") == rows


def test_a_run_depends_on_its_own_operators_only():
    def own(pair: str) -> set[str]:
        files = {piece.partition(":")[0] for piece in stages.parts("train", pair)}
        return files - {piece.partition(":")[0] for piece in stages.parts("train")}

    assert own("m2mrf_c") == {"operators/m2mrf.py"}
    assert own("strideconv_bilinear") == {"operators/strideconv.py", "operators/bilinear.py"}
    code = Pipeline(SMALLEST).run_code("train")
    assert code(SimpleNamespace(pair="m2mrf_c")) == stages.code_digest("train", "m2mrf_c")


def test_missing_archive_warns_first_and_stops_before_the_first_job(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RFBENCH_DATA", str(tmp_path))
    pipeline = Pipeline(yaml.safe_load((ROOT / "config" / "idrid.yaml").read_text()))
    assert "warning: datasets.IDRiD.source" in capsys.readouterr().err
    with pytest.raises(RFBenchError, match="Nothing was started"):
        pipeline.start()


def test_a_network_that_cannot_be_built_stops_before_the_first_job():
    model = {**SMALLEST["model"], "operator_options": {"m2mrf": {"patch_size": 1}}}
    with pytest.raises(
        RFBenchError, match=r"Nothing was started:\nmodel\.operator_options or sweep: Cannot build 'm2mrf_c'"
    ):
        Pipeline({**SMALLEST, "model": model}).start()


def test_weights_are_an_input_where_configured():
    run = SimpleNamespace(dataset="SYN-IDRiD", pair="m2mrf_c", seed="0")
    assert Pipeline(SMALLEST).weight_files(run) == []
    model = {**SMALLEST["model"], "pretrained": {"source": "https://example.org/w.pth", "sha256": "d2186c55"}}
    with_weights = Pipeline({**SMALLEST, "model": model})
    assert with_weights.weight_files(run) == ["results/ci/weights/d2186c55.pth"]
    assert with_weights.run_digest(run) != Pipeline(SMALLEST).run_digest(run)


def test_what_snakemake_reads_less_strictly_is_refused(tmp_path):
    """It takes the last of two keys and 010 for 8 before it hands us what it read."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(SMALLEST) + "pairs: [m2mrf_a]\n")
    with pytest.raises(RFBenchError, match=r"mine\.yaml, line \d+: the key pairs stands in line"):
        Pipeline(yaml.safe_load(path.read_text()), [path])


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"[]", "expected a record (a JSON object), found another value"), (b"\xff", "expected a record (JSON), found")],
)
def test_a_damaged_record_is_named_and_stops_no_planning(tmp_path, capsys, content, found):
    pipeline = Pipeline({**SMALLEST, "results": str(tmp_path)})
    run = SimpleNamespace(dataset="SYN-IDRiD", pair="m2mrf_c", seed="0")
    whole = pipeline.run_digest(run)
    path = run_folder(tmp_path, run.dataset, run.pair, run.seed) / "train.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert pipeline.run_digest(run) == whole
    said = capsys.readouterr().err
    assert said.startswith("warning: ")
    assert f"train.json: {found}" in said


def test_what_cannot_be_read_while_jobs_are_planned_ends_with_one_sentence(tmp_path, monkeypatch, capsys):
    """An exception in a function of a rule's would reach the user as Snakemake's traceback."""

    def leave(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", leave)
    pipeline = Pipeline({**SMALLEST, "results": str(tmp_path)})
    run = SimpleNamespace(dataset="SYN-IDRiD", pair="m2mrf_c", seed="0")
    path = run_folder(tmp_path, run.dataset, run.pair, run.seed) / "work" / "timeouts"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SystemExit) as caught:
        pipeline.continuations(run)
    said = capsys.readouterr().err
    assert caught.value.code == 1
    assert said.count("\n") == 1
    assert "timeouts: expected how often the training timed out, found b'\\xff\\xfe'" in said


def page_faults(environment: dict[str, str]) -> int:
    """Of a process that allocates and frees 40 MB a hundred times."""
    code = (
        "import resource, torch\n"
        "for _ in range(100): torch.ones(10 << 20)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)"
    )
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", code], env=plain | environment, stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_jobs_on_a_cpu_keep_the_memory_that_they_free():
    """Otherwise 40 MB are fetched anew each time, 20 pages if they are huge; the imports are the same."""
    assert page_faults({}) - page_faults(keep_freed_memory()) > 90 * 20


def test_the_users_own_allocator_settings_win_and_gpu_jobs_get_none(monkeypatch):
    names = [*keep_freed_memory()]
    for name in names:
        monkeypatch.setenv(name, "")  # so that what follows is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv(names[0], "1000")
    Pipeline({**SMALLEST, "device": "cuda"})
    assert [os.environ.get(name) for name in names] == ["1000", None, None]
    Pipeline({**SMALLEST, "device": "cpu"})
    assert [os.environ.get(name) for name in names] == ["1000", *[*keep_freed_memory().values()][1:]]


def test_tables_follow_the_configured_data_sets():
    names = [Path(file).name for file in Pipeline(SMALLEST).table_files()]
    assert names == ["table5.csv", "table5.md", "table5.tex", "lesions.csv", "lesions.md", "lesions.tex", "tables.json"]
    ddr = Pipeline(yaml.safe_load((ROOT / "config" / "ddr.yaml").read_text()))
    assert {Path(file).stem for file in ddr.table_files()} == {"table2_ds", "table2_us", "table3", "lesions", "tables"}


def test_code_digests_follow_their_stage():
    pipeline = Pipeline(SMALLEST)
    digests = {name: pipeline.code(name) for name in stages.STAGES}
    assert len(set(digests.values())) == len(digests)


def test_without_torch_what_results_hold_is_rendered_and_nothing_else_is_checked(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    curve = tmp_path / "runs" / "SYN-IDRiD" / "any" / "seed0" / "curve.csv"
    curve.parent.mkdir(parents=True)
    curve.touch()
    pipeline = Pipeline({**SMALLEST, "pairs": "all", "results": str(tmp_path)})
    assert "torch is not installed, so nothing is computed" in capsys.readouterr().err
    assert pipeline.every_run("curve.csv") == [str(curve)]
    with pytest.raises(RFBenchError, match="unknown key seed"):
        Pipeline({**SMALLEST, "seed": 1})


def test_stale_lock_is_cleared_only_if_no_snakemake_lives(tmp_path, capsys):
    folder = tmp_path / ".snakemake"
    (folder / "locks").mkdir(parents=True)
    lock = folder / "locks" / "0.input.lock"
    lock.write_text("results/x")
    code = (
        "import sys, pathlib, rfbench.pipeline as p; f = p.own_directory(pathlib.Path(sys.argv[1]));"
        "print(f is not None, flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    live = subprocess.Popen([sys.executable, "-c", code, folder], **pipes)
    assert live.stdout.readline() == "True\n"
    assert not lock.exists()
    lock.write_text("results/x")
    assert own_directory(folder) is None
    assert lock.exists(), "a live Snakemake's lock stays"
    live.kill()
    live.wait()
    assert own_directory(folder) is not None
    assert not lock.exists()
    assert "left by a Snakemake that is gone" in capsys.readouterr().err


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Checkout:
    """A checkout in which the smallest benchmark has run."""
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    checkout.snakemake("--cores", "2")
    return checkout


@pytest.mark.slow
def test_smallest_benchmark_from_end_to_end(finished):
    metrics = pd.read_csv(finished.folder / "results/ci/metrics.csv")
    columns = ["dataset", "pair", "seed", "metric", "lesion", "value", "n", "state"]
    assert list(metrics.columns[:8]) == columns
    assert set(metrics["state"]) == {"done"}
    assert set(metrics["pair"]) == {"strideconv_bilinear", "m2mrf_c"}
    assert metrics.loc[metrics["metric"].isin(METRICS), "value"].between(0, 1).all()
    table = pd.read_csv(finished.folder / "reports/ci/tables/table5.csv")
    assert set(table["data"]) == {"SYN"}
    assert list(table.loc[table["configured"] > 0, "pair"]) == ["strideconv_bilinear", "m2mrf_c"]
    mean = metrics.query("pair == 'm2mrf_c' and metric == 'ap' and lesion == 'mean'")["value"].item()
    assert table.set_index("pair").loc["m2mrf_c", "mAP_mean"] == pytest.approx(100 * mean, abs=1e-4)
    assert f"seed 0: {100 * mean:.4f}" in (finished.folder / "reports/ci/report.html").read_text()
    finished.snakemake("--report", "all.html")  # as everyone types it, without --cores
    assert "report.html" in (finished.folder / "all.html").read_text()


FROM_METRICS = dict.fromkeys(("aggregate", "statistics", "tables", "verdicts", "figures", "page"), 1)
FROM_PROFILE = dict.fromkeys(("profile", "costs", "tables", "verdicts", "figures", "page"), 1)


@pytest.mark.slow
def test_what_triggers_what(finished, tmp_path):
    assert finished.planned() == {}, "nothing to do after a finished run"
    for folder in ("operators", "workflow", "config", "envs", "profiles"):
        for file in (finished.folder / folder).rglob("*.*"):
            file.touch()
    assert finished.planned() == {}, "a touch changes nothing"
    two_runs = {"train": 2, "evaluate": 2} | FROM_METRICS
    assert finished.planned("--config", "seeds=[0,1]") == two_runs, "a seed adds its runs only"
    one_run = {"train": 1, "evaluate": 1} | FROM_METRICS | FROM_PROFILE
    pairs = "pairs=[strideconv_bilinear,m2mrf_c,maxpool_bilinear]"
    assert finished.planned("--config", pairs) == one_run, "a pair adds its runs only"
    checkout = copied(finished, tmp_path / "edited")
    left = checkout.folder / "results/ci/runs/SYN-IDRiD/m2mrf_c/seed0/evidence.npz"
    kept = left.read_bytes()
    left.unlink()
    one_evaluation = {"evaluate": 1} | FROM_METRICS
    assert checkout.planned() == one_evaluation, "a run from before evidence was kept is evaluated, not trained"
    left.write_bytes(kept)
    assert checkout.planned() == {}
    checkout.edit("workflow/rfbench/report/templates/table.md.j2", "# {{ about.title", "## {{ about.title")
    assert checkout.planned() == {"tables": 1}, "what is rendered from that template"
    checkout.edit("workflow/rfbench/report/templates/table.md.j2", "## {{ about.title", "# {{ about.title")
    for file, old, new in WORDS:
        checkout.edit(file, old, new)
    assert checkout.planned() == {}, "comments, docstrings, formatting and help texts change no result"
    checkout.edit("operators/m2mrf.py", "hidden = int(", "hidden = round(")
    assert checkout.planned() == one_run, "only the runs of the edited operator"
    checkout.edit("operators/m2mrf.py", "hidden = round(", "hidden = int(")
    checkout.edit("config/ci.yaml", "rounds: 1", "rounds: 2")
    assert checkout.planned() == FROM_PROFILE, "only what is measured"
    checkout.edit("config/ci.yaml", "rounds: 2", "rounds: 1")
    checkout.edit("operators/lip.py", "SCALE = 12", "SCALE = 13")
    assert checkout.planned() == {}, "no run uses the edited operator"
    checkout.edit("config/ci.yaml", "log_interval: 1", "log_interval: 2")
    assert checkout.planned() == {}, "how often is logged changes no number"
    assert len(list((checkout.folder / "results/ci/data/SYN-IDRiD/store/train").glob("*.pixels"))) == 2
    shutil.rmtree(checkout.folder / "results/ci/data/SYN-IDRiD/store")
    assert checkout.planned() == {}, "the store may go"
    checkout.edit("config/ci.yaml", "workers: 0", "store: false\n  workers: 0")
    assert checkout.planned() == {}, "the store changes no number"
    checkout.edit("config/ci.yaml", "name: smallest", "name: tiny")
    assert checkout.planned() == FROM_METRICS, "a recipe's label is only shown"
    checkout.edit("config/ci.yaml", "name: tiny", "name: smallest")
    checkout.edit("config/ci.yaml", "factor: 0.1,", "factor: 0.10,")
    checkout.edit("config/ci.yaml", "test: 1,", "contrast: 1, test: 1,")
    assert checkout.planned() == {}, "the same numbers, written otherwise"
    checkout.edit("config/ci.yaml", "untrained: true", "untrained: false")
    evaluations = {"evaluate": 2} | FROM_METRICS
    assert checkout.planned() == evaluations, "the evaluation retrains nothing"
    checkout.edit("workflow/rfbench/losses.py", "EPS = 1e-5", "EPS = 1e-4")
    again = {**evaluations, "train": 2, "profile": 1, "costs": 1}
    assert checkout.planned() == again, "the loss is part of every training, and of the memory of a step"
    checkout.edit("workflow/rfbench/losses.py", "EPS = 1e-4", "EPS = 1e-5")
    checkout.edit("workflow/rfbench/data/manifest.py", "list(columns(lesions)))", "list(columns(lesions)))[::-1]")
    prepared = {**again, "prepare": 1, "lesions": 1}
    assert {**checkout.planned(), "profile": 1, "costs": 1} == prepared, "the rows' order feeds the draws"


WORDS = (  # edits that change no result
    ("operators/m2mrf.py", '"""M2MRF: many', '"""M2MRF, many'),
    ("operators/m2mrf.py", "        # Before the compression,", "        # This comes before the compression,"),
    ("workflow/rfbench/training/train.py", "import json\n", "import json  # of the checkpoint's meta\n"),
    (
        "workflow/rfbench/losses.py",
        "probability = logits.float().sigmoid()",
        "probability = (\n        logits.float()).sigmoid()",
    ),
    ("workflow/rfbench/commands/train.py", "found ones are resumed", "those in it are resumed"),
    ("workflow/rfbench/data/prepare.py", '"""Check every item,', '"""Check all items,'),
    ("workflow/rfbench/errors.py", '"""A problem the user', '"""Some problem the user'),
)


@pytest.mark.slow
def test_hours_are_not_repeated_for_a_change_of_code_unless_asked(finished, tmp_path):
    checkout = copied(finished, tmp_path / "updated")
    checkout.edit("workflow/rfbench/losses.py", "EPS = 1e-5", "EPS = 1e-4")
    command = [SNAKEMAKE, "--configfile", "config/ci.yaml", "--config", "keep_hours=0"]
    for words in (["--dry-run"], ["--cores", "2"]):
        refused = subprocess.run(
            [*command, *words], cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True
        )
        assert refused.returncode == 1
        assert "Nothing was started: 2 finished runs" in refused.stderr
        assert "train: rfbench/losses.py (module)" in refused.stderr
    assert checkout.planned("--config", "keep_hours=0", "retrain=true")["train"] == 2
    keep = [sys.executable, "-m", "rfbench", "keep", "--because", "no effect", "--config", "config/ci.yaml"]
    subprocess.run(keep, cwd=checkout.folder, env=checkout.environment, check=True)
    left = checkout.planned("--config", "keep_hours=0")
    assert not left.keys() & {"prepare", "train", "evaluate"}
    checkout.snakemake("--cores", "2")
    table = (checkout.folder / "reports/ci/tables/table5.md").read_text()
    assert "Earlier code: 2 runs: train of earlier code, kept: no effect" in table
    assert checkout.planned("--config", "keep_hours=0") == {}


def copied(finished: Checkout, folder: Path) -> Checkout:
    """A finished checkout's copy elsewhere, results and all."""
    checkout = Checkout.__new__(Checkout)
    checkout.folder = folder
    shutil.copytree(finished.folder, folder, symlinks=True)
    paths = [str(folder), str(folder / "workflow")]
    checkout.environment = {**finished.environment, "PYTHONPATH": os.pathsep.join(paths)}
    return checkout


def written_in_figures(checkout: Checkout, folder: Path, monkeypatch) -> dict[str, set[str]]:
    """Every figure of the checkout's results, drawn again: its name and the words in it."""
    words, drawn = {}, []
    draw, write = Figure.savefig, plotting.write_whole

    def note(figure: Figure, *args, **kwargs):
        drawn.extend(text.get_text() for text in figure.findobj(Text))
        draw(figure, *args, **kwargs)

    def name(path: Path, content: bytes):
        words.setdefault(path.stem, set()).update(drawn)
        drawn.clear()
        write(path, content)

    monkeypatch.setattr(Figure, "savefig", note)
    monkeypatch.setattr(plotting, "write_whole", name)
    metrics = checkout.folder / "results/ci/metrics.csv"
    assert cli.main(["figures", "--metrics", str(metrics), "--output", str(folder)]) == 0
    return words


@pytest.mark.slow
def test_a_new_operator_needs_one_file_and_one_line_and_executes_its_own_runs_only(finished, tmp_path, monkeypatch):
    checkout = copied(finished, tmp_path / "new")
    command = [sys.executable, "-m", "rfbench", "new-operator", "box", "--config", "config/ci.yaml"]
    subprocess.run(command, cwd=checkout.folder, env=checkout.environment, check=True)
    assert (checkout.folder / "operators" / "box.py").is_file()
    own = {"train": 1, "evaluate": 1} | FROM_METRICS | FROM_PROFILE
    assert checkout.planned() == own
    kept = {
        file: file.stat().st_mtime_ns
        for pair in ("strideconv_bilinear", "m2mrf_c")
        for file in (checkout.folder / "results/ci/runs/SYN-IDRiD" / pair).rglob("*")
    }
    checkout.snakemake("--cores", "2")
    assert {file: file.stat().st_mtime_ns for file in kept} == kept, "the other pairs' runs stay as they were"
    table = pd.read_csv(checkout.folder / "reports/ci/tables/table5.csv")
    assert set(table.loc[table["configured"] > 0, "pair"]) == {"strideconv_bilinear", "m2mrf_c", "box_bilinear"}
    assert table.set_index("pair").loc["box_bilinear", "n"] == 1
    for kind in ("md", "tex"):
        assert "Box" in (checkout.folder / f"reports/ci/tables/table5.{kind}").read_text()
    figures = written_in_figures(checkout, tmp_path / "figures", monkeypatch)
    naming_pairs = {name for name, words in figures.items() if any("M2MRF-C" in word for word in words)}
    assert len(naming_pairs) >= 4
    for name in naming_pairs:
        assert any("Box/Bilinear" in word for word in figures[name]), name


@pytest.mark.slow
def test_an_installed_packages_pair_runs_and_runs_again_when_its_file_changes(finished, tmp_path):
    checkout, site = copied(finished, tmp_path / "outside"), tmp_path / "site"
    text = (ROOT / "workflow/rfbench/contract/operator.py.j2").read_text()
    about = {"{{ name }}": "toy", "{{ pair }}": "toy_bilinear", "{{ label }}": "Toy", "{{ path }}": "toy"}
    for mark, value in about.items():
        text = text.replace(mark, value)
    (site / "toy-1.dist-info").mkdir(parents=True)
    (site / "toy_module.py").write_text(text)
    (site / "toy-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1\n")
    (site / "toy-1.dist-info" / "entry_points.txt").write_text("[rfbench.operators]\ntoy = toy_module\n")
    checkout.environment["PYTHONPATH"] += os.pathsep + str(site)
    checkout.edit("config/ci.yaml", "m2mrf_c]", "m2mrf_c, toy_bilinear]")
    own = {"train": 1, "evaluate": 1} | FROM_METRICS | FROM_PROFILE
    assert checkout.planned() == own
    checkout.snakemake("--cores", "2")
    assert checkout.planned() == {}
    (site / "toy_module.py").write_text(text + "# edited\n")
    assert checkout.planned() == {}, "a comment"
    (site / "toy_module.py").write_text(text + "EDITED = True\n")
    assert checkout.planned() == own


@pytest.mark.slow
def test_same_computation_twice_gives_the_same_bytes(finished, tmp_path):
    again = Checkout(tmp_path)
    again.snakemake("--cores", "2")
    for name in ("metrics.csv", "data/SYN-IDRiD/manifest.csv", "runs/SYN-IDRiD/m2mrf_c/seed0/evaluation.json"):
        first, second = (folder / "results/ci" / name for folder in (finished.folder, again.folder))
        assert first.read_bytes() == second.read_bytes(), name
    first, second = (pd.read_csv(folder / "reports/ci/tables/table5.csv") for folder in (finished.folder, again.folder))
    times = [column for column in first if column.startswith("FPS")]
    assert times, "speeds have their own columns"
    pd.testing.assert_frame_equal(first.drop(columns=times), second.drop(columns=times), check_exact=True)


WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "torch" else super().find_spec(name, path, target)

sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.mark.slow
def test_without_torch_tables_and_figures_are_rendered_from_results(finished, tmp_path):
    """`sitecustomize` hides torch from Snakemake and its jobs."""
    checkout = Checkout(tmp_path)
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_TORCH)
    shutil.copytree(finished.folder / "results", tmp_path / "results")
    assert "torch is not installed" in checkout.snakemake("--cores", "1")
    reports = finished.folder / "reports"
    files = [path.relative_to(reports) for path in reports.rglob("*.*")]
    assert len(files) > 20
    for file in files:
        assert (tmp_path / "reports" / file).read_bytes() == (reports / file).read_bytes(), file
    assert checkout.planned() == {}


@pytest.mark.slow
def test_weights_are_known_by_their_digest_wherever_they_come_from(finished, tmp_path):
    """Another source runs nothing, a longer digest checks the weights again, other weights train again."""
    checkout = copied(finished, tmp_path / "checkout")
    paths, digests = [], []
    for folder, seed in (("here", 0), ("there", 0), ("other", 1)):
        torch.manual_seed(seed)
        paths.append(tmp_path / folder / "w.pth")
        paths[-1].parent.mkdir()
        torch.save(HRNet(backbones.configuration("hrnetv2_embedded")).state_dict(), paths[-1])
        digests.append(provenance.sha256(paths[-1]))
    assert digests[0] == digests[1] != digests[2]
    before = "  backbone: hrnetv2_embedded\n"

    def configure(path: Path, sha256: str) -> None:
        nonlocal before
        after = f"  backbone: hrnetv2_embedded\n  pretrained: {{source: {path}, sha256: '{sha256}'}}\n"
        checkout.edit("config/ci.yaml", before, after)
        before = after

    record = "results/ci/runs/SYN-IDRiD/strideconv_bilinear/seed0/evaluation.json"
    configure(paths[0], digests[0][:8])
    checkout.snakemake("--cores", "1", "--", record)
    trained = json.loads((checkout.folder / record).with_name("train.json").read_text())
    assert trained["settings"]["model"]["pretrained"] == digests[0][:8]
    assert trained["pretrained"]["sha256"] == digests[0]
    assert checkout.planned("--", record) == {}
    configure(paths[1], digests[0][:8])
    assert checkout.planned("--", record) == {}, "the same weights from another place"
    configure(tmp_path / "gone.pth", digests[0][:8])
    assert "Nothing to be done" in checkout.snakemake("--cores", "1", "--", record), "the weights are there already"
    configure(paths[1], digests[0])
    assert checkout.planned("--", record) == {"weights": 1}, "all digits of the digest are checked"
    checkout.snakemake("--cores", "1", "--", record)
    assert checkout.planned("--", record) == {}
    configure(paths[2], digests[2])
    assert checkout.planned("--", record) == {"weights": 1, "train": 1, "evaluate": 1}


@pytest.mark.slow
def test_the_default_configuration_is_found_from_elsewhere(tmp_path):
    command = [SNAKEMAKE, "-s", ROOT / "Snakefile", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^train +72$", done.stdout + done.stderr, re.M), "12 pairs, two data sets, three seeds"


@pytest.mark.slow
def test_a_default_configuration_that_is_no_utf_8_is_one_sentence(tmp_path):
    """Snakemake reads one given as --configfile before any code of ours; the default one we can look at first."""
    checkout = Checkout(tmp_path / "copy")
    default = checkout.folder / "config" / "default.yaml"
    default.write_bytes(b"# \xe9\n" + default.read_bytes())
    command = [SNAKEMAKE, "--dry-run"]
    done = subprocess.run(command, cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{default}, line 1: expected UTF-8, found the byte 0xe9. Save the file as UTF-8." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_configuration_errors_stop_before_the_graph(finished):
    command = [SNAKEMAKE, "--dry-run", "--configfile", "config/ci.yaml", "--config", "sedes=[1]"]
    done = subprocess.run(command, cwd=finished.folder, env=finished.environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "unknown key sedes. Did you mean seeds?" in done.stdout + done.stderr
    assert "Building DAG" not in done.stdout + done.stderr


@pytest.mark.slow
def test_killed_snakemake_continues_and_never_doubles_a_training(finished, tmp_path):
    """kill -9 hits Snakemake alone; its training lives on as an orphan while plain `snakemake` goes on."""
    checkout = Checkout(tmp_path / "killed")
    first = checkout.start("config/ci.yaml", tmp_path / "first.log")
    while not (locks := [file for file in checkout.folder.glob("results/ci/runs/*/*/*/work/lock") if file.read_text()]):
        assert first.poll() is None, (tmp_path / "first.log").read_text()
        time.sleep(0.01)
    orphan = int(locks[0].read_text().split()[0])
    os.kill(orphan, signal.SIGSTOP)  # so that the next start surely meets it
    first.kill()
    first.wait()
    second = checkout.start("config/ci.yaml", tmp_path / "second.log")
    log = checkout.folder / "results/ci/logs/train"
    while not any(f"waiting for process {orphan}" in file.read_text() for file in log.glob("*.log")):
        assert second.poll() is None, (tmp_path / "second.log").read_text()
        time.sleep(0.1)
    os.kill(orphan, signal.SIGCONT)
    assert second.wait() == 0, (tmp_path / "second.log").read_text()
    assert "left by a Snakemake that is gone; cleared" in (tmp_path / "second.log").read_text()
    for name in ("results/ci/metrics.csv", "reports/ci/tables/table5.md"):
        assert without_speeds(checkout.folder / name) == without_speeds(finished.folder / name), name


@pytest.mark.slow
def test_failed_and_timed_out_runs_are_holes_and_a_raised_limit_fills_them(tmp_path):
    checkout = Checkout(tmp_path)
    checkout.edit("config/ci.yaml", "  workers: 0", "  workers: 0\n  time_limit: 0.0000001")
    broken = "    import torch\n\n    if torch.get_default_device().type != 'meta':  # the check before the first job\n"
    broken += "        raise ValueError('broken on purpose')\n    conv = nn"
    checkout.edit("operators/strideconv.py", "    conv = nn", broken)
    assert checkout.start("config/ci.yaml", tmp_path / "log").wait() == 1
    checkout.snakemake("--cores", "1", "partial")
    metrics = pd.read_csv(tmp_path / "results/ci/partial/metrics.csv").drop_duplicates("pair").set_index("pair")
    assert metrics["state"].to_dict() == {"strideconv_bilinear": "error", "m2mrf_c": "timeout"}
    assert "broken on purpose" in metrics.loc["strideconv_bilinear", "reason"]
    assert "reached at iteration 1 of 4" in metrics.loc["m2mrf_c", "reason"]
    table = (tmp_path / "reports/ci/partial/tables/table5.md").read_text()
    assert "seed 0: timeout (recipe.time_limit" in table
    assert (tmp_path / "results/ci/partial/differences.csv").exists()
    assert (tmp_path / "reports/ci/partial/tables/verdicts.md").exists()
    page = (tmp_path / "reports/ci/partial/report.html").read_text()
    assert "broken on purpose" in page
    assert "reached at iteration 1 of 4" in page
    trained = "results/ci/runs/SYN-IDRiD/m2mrf_c/seed0/train.json"
    assert checkout.planned(trained) == {}
    checkout.edit("config/ci.yaml", "0.0000001", "1")
    assert checkout.planned(trained) == {"train": 1}
    checkout.snakemake("--cores", "1", trained)
    assert '"resumed": true' in (tmp_path / trained).with_name("times.json").read_text()
    assert checkout.planned(trained) == {}


CLAIMED_AND_COMPUTED_ON_THE_CPU = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = super().find_spec(name, path, target)
        if name == "rfbench.devices":
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (execute(module), simulate(module))
        return spec

def simulate(devices):
    def pick_device(name):
        import torch
        devices.claim_for(name)
        return torch.device("cpu")
    devices.offered, devices.pick_device = lambda name: devices.visible(), pick_device

sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.mark.slow
def test_jobs_share_two_simulated_gpus(tmp_path):
    """Two at once, each on its own device; the third seed waits for one."""
    checkout = Checkout(tmp_path / "checkout")
    (checkout.folder / "sitecustomize.py").write_text(CLAIMED_AND_COMPUTED_ON_THE_CPU)
    (tmp_path / "bin").mkdir()
    checkout.environment["PATH"] = fake_gpus(tmp_path / "bin", 2, checkout.environment["PATH"])
    checkout.environment["RFBENCH_GPU_LOCKS"] = str(tmp_path / "locks")
    runs = [f"results/ci/runs/SYN-IDRiD/m2mrf_c/seed{seed}" for seed in range(3)]
    seen: list[int] = []
    arguments = ["--cores", "8", "--config", "seeds=[0,1,2]", "--", *(f"{run}/train.json" for run in runs)]
    snakemake = checkout.start("config/ci.yaml", tmp_path / "log", *arguments)
    while snakemake.poll() is None:
        seen.append(sum(job.startswith("train") for job in checkout.jobs().values()))
        time.sleep(0.05)
    assert snakemake.returncode == 0, (tmp_path / "log").read_text()
    assert max(seen) == 2, "eight cores, but a pool of two GPUs"
    assert re.search(r"Provided resources: gpu=\D*2\b", (tmp_path / "log").read_text())
    logs = [file.read_text() for file in sorted(checkout.folder.glob("results/ci/logs/train/*.log"))]
    devices = [re.search(r"^GPU (GPU-\d+)$", text, re.M)[1] for text in logs]
    assert set(devices) == {"GPU-000", "GPU-111"}
    assert not any("waiting for a GPU" in text for text in logs), "the pool starts no job without a free device"
    profile = checkout.snakemake("--dry-run", "results/ci/profile.json", "--cores", "8", "--forceall")
    assert "threads: 8" in profile, "speed is measured alone"
    manifest = "results/ci/data/SYN-IDRiD/manifest.csv"
    said = checkout.snakemake("--cores", "1", "--resources", "gpu=1", "--forcerun", "prepare", "--", manifest)
    assert re.search(r"Provided resources: gpu=\D*1\b", said), "the command line wins"
