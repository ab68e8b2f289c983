"""Each clause of the contract is able to fail: toy operators, each broken in one place, and the message they earn."""

import re

import pytest

import operators
from rfbench import cli
from rfbench.contract.clauses import ConformanceError
from rfbench.contract.conformance import CLAUSES, Subject

TOY = """
import torch, torch.nn.functional as F
from collections import OrderedDict
from torch import nn
from operators import Pair

OPTIONS = {"gain": 1}

class Step(nn.Module):
    def __init__(self, channels, gain=1):
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels, 1, 1), float(gain)))
        # init

    def forward(self, x):
        y = F.avg_pool2d(x * self.scale, 2, ceil_mode=True)
        # forward
        return y

def down(in_channels, out_channels, steps, relu, **options):
    # down
    return nn.Sequential(OrderedDict(
        pool=nn.Sequential(*(Step(in_channels, **options) for _ in range(steps))),
        conv=nn.Conv2d(in_channels, out_channels, 1, bias=False), norm=nn.BatchNorm2d(out_channels),
        relu=nn.ReLU() if relu else nn.Identity()))

DOWN = {"Toy": down}
PAIRS = (Pair("toy", "Toy", "Bilinear"),)
"""
SUM_OF_MAPS = "y = y + sum(F.avg_pool2d((k * x).sigmoid().square(), 2, ceil_mode=True) for k in range(40))"
NUMBERED = """
    class Path(nn.Sequential):
        def init_operator(self): pass
    return Path(nn.Sequential(nn.Conv2d(in_channels, out_channels, 2**steps, 2**steps), nn.BatchNorm2d(out_channels)),
                nn.ReLU() if relu else nn.Identity())"""
MISREGISTERED = """
    class Path(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(in_channels, out_channels, 2**steps, 2**steps)
            self.norm, self.relu = nn.BatchNorm2d(out_channels), nn.ReLU() if relu else nn.Identity()
        def forward(self, x):
            return self.relu(self.norm(self.conv(x).square()))
    return Path()"""
PROBES = "self.probe = nn.Parameter(torch.ones(1))"
BREAKS = {  # clause: where, what is put there, words of the message
    "declaration": ('"Bilinear")', '"Bilinear", guide="sideways")', "guide to be one of .*found 'sideways'"),
    "parameters": ('"Bilinear")', '"Bilinear", params=12)', "expected 12 parameters in HRNetV2-W48.*found 59,4"),
    "paths": ("# down", "out_channels += 1", r"transition1: an output \(1, 16, 16, 16\), found \(1, 17, 16, 16\)"),
    "sizes": ("# forward", "F.pixel_unshuffle(x, 2)", "an image of 65x65 px, found RuntimeError: pixel_unshuffle"),
    "every size": ("# forward", "assert x.shape[2] != 19", r"px, found AssertionError.*\(toy\.py, line"),
    "batch": ("# forward", "y = y - y.mean(0, keepdim=True)", "a batch to give what its images give alone"),
    "channels last": ("# forward", "x.view(len(x), -1)", "the same logits, found RuntimeError: view size"),
    "half precision": (
        "# forward",
        'y = y.half() * 1e30 if torch.is_autocast_enabled("cpu") else y',
        "finite loss in bfloat16, found 100 % NaN or infinite",
    ),
    "determinism": ("# forward", "y = y + 0.1 * torch.rand_like(y)", "the same bits twice, found others in logits"),
    "initialisation": (
        "# init",
        "nn.init.normal_(self.scale, generator=(g := torch.Generator(), g.seed())[0])",
        "from the same seed, found others in backbone",
    ),
    "state dict": (
        "# init",
        "self.scale.data = self.scale * 1; self.hidden = torch.rand(channels, 1, 1)",
        "equal logits from a loaded checkpoint, found a difference",
    ),
    "gradient": ("# init", PROBES, r"a gradient for backbone\.transition1.*probe, found none"),
    "influence": ("# forward", "y = y * (torch.arange(y.shape[3]) < y.shape[3] // 2)", "depend on the lower right"),
    "imagenet names": ("# down", NUMBERED, "names that no ImageNet tensor has.*found .*0.0.weight"),
    "extreme inputs": (
        "# forward",
        "y = (x := F.avg_pool2d(x, 2, ceil_mode=True)).exp() - x.exp() + y",
        "finite logits of a constant of 10000",
    ),
    "memory": ("# forward", SUM_OF_MAPS, r"at most 1.6 times the baseline's memory in training, found .* times"),
    "inference form": ("# down", MISREGISTERED, "register layers in their order.*found a difference of"),
    "export": ("# forward", "y = y if y.sum() > 0 else -y", "takes the network whole.*found"),
    "compilation": ("# forward", "y = y if y.sum() > 0 else -y", "takes the network whole.*found"),
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A function that registers the toy, changed in one place, until the test ends."""
    monkeypatch.setattr(operators, "_loaded", [])

    def register(old: str = "", new: str = ""):
        assert old in TOY
        path = tmp_path / "toy.py"
        path.write_text(TOY.replace(old, new, 1) if old else TOY)
        assert operators.load_file(path) == ["toy"]
        return path

    yield register
    monkeypatch.undo()
    operators._forget()


def test_every_clause_is_broken_once():
    assert BREAKS.keys() == CLAUSES.keys()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * CLAUSES[n].slow) for n in BREAKS])
def test_a_clause_fails_with_its_name_what_was_expected_and_what_was_found(toy, name):
    old, new, message = BREAKS[name]
    if name == "state dict":  # what a checkpoint lacks must matter
        new += "; self.register_forward_hook(lambda module, inputs, output: output * module.hidden)"
    toy(old, new)
    with pytest.raises(ConformanceError, match=message) as caught:
        CLAUSES[name].check(Subject("toy"))
    error = caught.value
    assert (error.name, error.clause) == ("toy", name)
    assert f"toy breaks '{name}': expected {error.expected}, found {error.found}." == str(error)


def test_the_sound_toy_keeps_every_fast_clause(toy):
    toy()
    subject = Subject("toy")
    for clause in CLAUSES.values():
        if not clause.slow:
            clause.check(subject)  # raises ConformanceError


def test_options_that_a_path_does_not_take_break_the_declaration(toy):
    toy('{"gain": 1}', '{"gain": 1, "gian": 2}')
    with pytest.raises(ConformanceError, match=r"breaks 'declaration'.*unexpected keyword argument 'gian'"):
        CLAUSES["declaration"].check(Subject("toy"))


def test_a_guided_pair_must_record(toy):
    toy('"Bilinear")', '"Bilinear", guide="mirror")')
    with pytest.raises(ConformanceError, match=r"\(y, records\), records a tuple of 1, one a step, found y alone"):
        CLAUSES["paths"].check(Subject("toy"))


def test_records_are_a_tuple(toy):
    listed = "class Path(nn.Sequential):\n        def forward(self, x): return super().forward(x), [x] * steps\n    "
    toy("return nn.Sequential(OrderedDict(", f"{listed}return Path(OrderedDict(")
    with pytest.raises(ConformanceError, match=r"records a tuple of 1, one a step, found a list of 1"):
        CLAUSES["paths"].check(Subject("toy"))


def test_check_prints_every_clause_and_says_so_by_its_status(toy, capsys):
    path = toy()
    assert cli.main(["check", f"{path}:toy", "--only", "paths", "sizes"]) == 0
    printed = capsys.readouterr().out
    assert "2 of 2 clauses kept" in printed
    assert "every path gives" in printed


def test_check_prints_what_it_measures(capsys):
    assert cli.main(["check", "avgpool_bilinear", "--only", "parameters", "memory"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert re.search(r"59,453,956, none declared", printed)
    assert re.search(r"memory kept .* – 1\.\d\d times", printed)


def test_check_names_what_is_broken(toy, capsys):
    toy("# forward", "F.pixel_unshuffle(x, 2)")
    assert cli.main(["check", "toy", "--only", "sizes", "parameters"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 of 2 clauses kept" in printed
    assert "sizes broken expected logits of an image of 65x65 px" in printed
    assert "found RuntimeError: pixel_unshuffle" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lip_bilinaer"], "Did you mean 'lip_bilinear'"),
        (["lip_bilinear", "--only", "gradeint"], "Unknown clause 'gradeint'. Did you mean 'gradient'"),
        (["/nowhere/toy.py"], "/nowhere/toy.py: its operators cannot be imported .*no such file"),
    ],
)
def test_check_refuses_in_one_sentence(arguments, message, capsys):
    assert cli.main(["check", *arguments]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert "Traceback" not in error
