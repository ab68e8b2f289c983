"""One training by several processes: on a CPU (gloo) against one process with as many micro-batches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from rfbench import cli, devices, flocks
from rfbench.errors import RFBenchError
from rfbench.models.initial import initial_model
from rfbench.settings import ConfigError, Settings, complete, recipe_of, run_settings
from rfbench.training import loop, ranks
from rfbench.training.ranks import Ranks
from rfbench.training.watchdog import Watchdog
from rfbench.training.workfolder import newest_checkpoint

from ..checkout import SMALLEST
from ..test_devices import environment  # noqa: F401 (a fixture)
from ..tiny_run import PAIR, make_settings, plain

RECIPE = {"batch_size": 4, "log_interval": 2, "checkpoint_interval": 2}
RATES = {PAIR: 0.5, "hed": 5.0}  # by the recipe's loss; by one of its own


@pytest.mark.parametrize(("world", "micro_batches"), [(1, 1), (1, 2), (2, 1), (2, 2), (4, 3)])
def test_processes_share_every_micro_batch_evenly(world, micro_batches):
    """Together the draws of one process; each micro-batch of all is a micro-batch of one."""
    size = 4 * 3 * micro_batches
    recipe = make_settings(batch_size=size, micro_batches=micro_batches, workers=3).recipe
    every = [list(Ranks(rank, world).draws(range(5, 7), recipe)) for rank in range(world)]
    share = Ranks(0, world).share(recipe)
    assert share.batch_size * world == size
    assert share.workers == max(3 // world, 1)
    own = share.batch_size // micro_batches
    parts = [draws[k : k + own] for k in range(0, len(every[0]), own) for draws in every]
    assert [draw for part in parts for draw in part] == list(range(5 * size, 7 * size))


def configured(competitor: str, **recipe) -> Settings:
    """The smallest configuration with this pair or method."""
    written = plain(make_settings(**RECIPE, optimizer={"type": "SGD", "lr": RATES[competitor]}, **recipe))
    return complete(written | ({"pairs": [competitor]} if competitor == PAIR else {"methods": [competitor]}))


def trained(manifest: Path, work: Path, alone: Ranks, competitor: str, **recipe) -> torch.nn.Module:
    """Six updates of the smallest network, or what is left of them in this work folder."""
    settings = configured(competitor, **recipe)
    run = run_settings(settings, "SYN", competitor, 0)
    model, _ = initial_model(run, None)
    work.mkdir(parents=True, exist_ok=True)
    loop.run_updates(
        model, run, recipe_of(settings, competitor), manifest=manifest, work=work, checkpoint=newest_checkpoint(work),
        watchdog=Watchdog(None, run.dataset.iterations), ranks=alone,
    )  # fmt: skip
    return model


def together(manifest: Path, work: Path, competitor: str) -> None:
    """What each process of the test below runs."""
    torch.set_num_threads(1)
    with ranks.joined(torch.device("cpu")) as own:
        model = trained(manifest, work, own, competitor)
        torch.save(model.state_dict(), work / f"rank{own.rank}.pth")


@pytest.mark.slow
@pytest.mark.parametrize("competitor", RATES)
def test_two_processes_train_as_one_with_two_micro_batches_and_resume(manifest, tmp_path, competitor):
    """Each process's batch norm sees its own images, as a micro-batch's does; means over both are not kept there."""
    work = tmp_path / "together"
    script = (
        f"import pathlib, sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); "
        f"from tests.training.test_ranks import together; "
        f"together(pathlib.Path({str(manifest)!r}), pathlib.Path({str(work)!r}), {competitor!r})"
    )
    file = tmp_path / "together.py"
    file.write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", file]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in both processes: another number adds up in another order
    one = dict(trained(manifest, tmp_path / "one", Ranks(), competitor, micro_batches=2).named_parameters())
    torch.set_num_threads(threads)
    both = [torch.load(work / f"rank{rank}.pth") for rank in (0, 1)]
    run = run_settings(configured(competitor), "SYN", competitor, 0)
    start = dict(initial_model(run, None)[0].named_parameters())
    assert max((one[name] - start[name]).abs().max() for name in one) > 1e-3, "it has trained"
    for name, value in one.items():
        assert torch.equal(both[0][name], both[1][name]), name
        torch.testing.assert_close(both[0][name], value.detach(), rtol=1e-4, atol=1e-6)
    rows = [(tmp_path / name / "curve.csv").read_text().splitlines() for name in ("together", "one")]
    for own, theirs in zip(*rows, strict=True):
        assert own == theirs or float(own.split(",")[1]) == pytest.approx(float(theirs.split(",")[1]), abs=2e-6)
    first = {path.name: path.read_bytes() for path in work.glob("*.pth")}
    assert "iter_4.pth" in first, "one process wrote checkpoints"
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})  # goes on from update 4
    again = [torch.load(work / f"rank{rank}.pth") for rank in (0, 1)]
    assert all(torch.equal(again[0][name], both[0][name]) for name in one)


def test_the_parent_claims_and_becomes_torchrun(environment, manifest, tmp_path, monkeypatch):  # noqa: F811
    """The locks are open in what it becomes, and its processes claim nothing more."""
    monkeypatch.setenv(devices.HANDED_ON, "")
    monkeypatch.delenv(devices.HANDED_ON)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    written = {**plain(make_settings(**RECIPE)), "device": "cuda"}
    written["recipe"]["gpus"] = 2
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(written))
    became = []

    def exec_(path, words):
        became.append((path, words))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", exec_)
    arguments = ["train", "--config", str(config), "--dataset", "SYN", "--pair", PAIR, "--seed", "0", "--manifest",
                 str(manifest), "--work", str(tmp_path / "work"), "--output", str(tmp_path / "train.json")]  # fmt: skip
    before = set(flocks._HELD)  # by other tests of this process
    with pytest.raises(SystemExit):
        cli.main(arguments)
    ((path, words),) = became
    assert path == sys.executable
    assert words[:4] == [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    assert words[4:7] == ["--nproc-per-node=2", "-m", "rfbench"]
    assert sorted(words[7:]) == sorted(arguments)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-000,GPU-111"
    held = [file for file in set(flocks._HELD) - before if os.get_inheritable(file.fileno())]
    assert len(held) == 2
    monkeypatch.setattr(devices, "_claimed", [])
    assert devices.claim(2) == ["GPU-000", "GPU-111"], "a process of torchrun's takes what was claimed for it"
    for file in held:
        flocks.release(file)


def test_a_lock_outlives_exec(tmp_path):
    code = (
        "import os, pathlib, sys; from rfbench import flocks; flocks.take(pathlib.Path(sys.argv[1])); flocks.hand_on();"
        "os.execv('/bin/sh', ['sh', '-c', 'echo begun; read line'])"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "lock"], **pipes)
    assert process.stdout.readline() == "begun\n"
    assert flocks.take(tmp_path / "lock") is None
    process.communicate("")
    file = flocks.take(tmp_path / "lock")
    assert file is not None
    flocks.release(file)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"gpus": 3, "batch_size": 4}, r"recipe\.gpus: must divide the 4 images of a micro-batch, found 3"),
        ({"gpus": 4, "batch_size": 4, "micro_batches": 2}, r"must divide the 2 images of a micro-batch, found 4"),
    ],
)
def test_a_micro_batch_that_cannot_be_shared_is_refused(recipe, message):
    with pytest.raises(ConfigError, match=message):
        complete({**SMALLEST, "recipe": {**SMALLEST["recipe"], **recipe}})


def test_a_cpu_cannot_be_several():
    with pytest.raises(ConfigError, match=r"recipe\.gpus: needs 2 GPUs, found device cpu"):
        complete({**SMALLEST, "device": "cpu", "recipe": {**SMALLEST["recipe"], "gpus": 2, "batch_size": 4}})


def test_too_few_gpus_are_a_sentence(environment, monkeypatch):  # noqa: F811
    with pytest.raises(RFBenchError, match=r"recipe\.gpus: expected 3 GPUs .* found 2"):
        devices.claim(3)
