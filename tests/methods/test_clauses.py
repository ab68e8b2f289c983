"""Each clause of the methods' contract finds what breaks it, and `tiny` breaks none."""

import dataclasses

import pytest
import torch
from torch import nn

from rfbench.competitors import methods
from rfbench.contract.clauses import ConformanceError
from rfbench.contract.method_conformance import CLAUSES, MethodSubject
from rfbench.errors import RFBenchError


@pytest.mark.parametrize("clause", CLAUSES)
def test_tiny_keeps_it(tiny, clause):
    CLAUSES[clause].check(MethodSubject(tiny))  # raises ConformanceError


def broken(monkeypatch, clause: str, **changes) -> str:
    """What is said where `tiny` declares something else."""
    module = methods._module("tiny")
    monkeypatch.setattr(module, "METHOD", dataclasses.replace(module.METHOD, **changes))
    with pytest.raises(ConformanceError) as raised:
        CLAUSES[clause].check(MethodSubject("tiny"))
    return str(raised.value)


def built(change):
    """`tiny`'s build with a change to its network."""
    original = methods._module("tiny").build

    def build(num_lesions: int, **options) -> nn.Module:
        network = original(num_lesions, **options)
        change(network)
        return network

    return build


def forward(change):
    """`tiny`'s build with a forward that is given the network's own and the images."""

    def replace(network: nn.Module) -> None:
        own = network.forward
        network.forward = lambda images: change(own, images)

    return built(replace)


@pytest.mark.parametrize(
    ("clause", "changes", "said"),
    [
        ("declaration", {"confidence": " "}, "expected confidence in words"),
        ("declaration", {"label": "M2MRF-A"}, "declares the row M2MRF-A"),
        ("declaration", {"label": "VRT"}, "expected published for a label of the papers, found None for VRT"),
        ("declaration", {"published": "MyNet"}, "found MyNet"),
        ("declaration", {"minimum": 32}, "minimum of at least 64 px, found 32"),
        ("parameters", {"parameters": 3}, "expected 3 parameters, found 2,596"),
    ],
)
def test_a_wrong_declaration_is_found(tiny, monkeypatch, clause, changes, said):
    assert said in broken(monkeypatch, clause, **changes)


def _noisy(own, x):
    return own(x) + torch.randn(())


def _fails_at_97(own, x):
    if x.shape[2] == 97:
        raise ValueError("97 is odd")
    return own(x)


def _hidden(network):
    network.scale = torch.randn(())  # neither parameter nor buffer
    own = network.forward
    network.forward = lambda images: own(images) * network.scale


def _unused(network):
    network.spare = nn.Conv2d(3, 3, 1)


@pytest.mark.parametrize(
    ("clause", "build", "said"),
    [
        ("sizes", lambda: forward(lambda own, x: own(x)[..., ::2]), "expected logits (1, 4, 65, 65)"),
        ("sizes", lambda: forward(lambda own, x: own(x) / 0), "finite logits"),
        ("sizes", lambda: forward(_fails_at_97), "97x97 px, found ValueError: 97 is odd"),
        ("lesions", lambda: forward(lambda own, x: own(x)[:, [0, 0, 0, 0]]), "expected 1 maps for 1 lesions, found 4"),
        ("batch", lambda: forward(lambda own, x: own(x) - own(x).mean(0)), "a batch to give what its images give"),
        ("half precision", lambda: forward(lambda own, x: own(x) * float("inf")), "finite loss in bfloat16"),
        ("state dict", lambda: built(_hidden), "neither parameter nor buffer"),
        ("gradient", lambda: built(_unused), "found none for network.spare.bias, network.spare.weight (2 in all)"),
        ("initialisation", lambda: built(lambda network: [nn.init.ones_(p) for p in network.parameters()]), "another"),
        ("export", lambda: forward(lambda own, x: own(x) * (1 if x.sum() > 0 else 2)), "expected"),
    ],
)
def test_a_wrong_network_is_found(tiny, monkeypatch, clause, build, said):
    assert said in broken(monkeypatch, clause, build=build())


def test_other_bits_in_the_same_step_are_found(tiny, monkeypatch):
    import itertools

    counter = itertools.count()
    build = forward(lambda own, x: own(x) * (1 + 1e-3 * next(counter)))
    assert "the same bits twice" in broken(monkeypatch, "determinism", build=build)


def test_a_minimum_that_is_too_small_is_found(tiny, monkeypatch):
    def at_least_80(own, x):
        return own(x) if min(x.shape[2:]) >= 80 else own(x) / 0

    assert "finite logits of 64x64 px" in broken(monkeypatch, "minimum", build=forward(at_least_80))


def test_a_network_may_say_why_it_cannot_be_exported(tiny, monkeypatch):
    def refuse(network):
        network.not_exportable = "it looks for regions"
        network.forward = lambda images: 1 / 0

    module = methods._module("tiny")
    monkeypatch.setattr(module, "METHOD", dataclasses.replace(module.METHOD, build=built(refuse)))
    assert CLAUSES["export"].check(MethodSubject("tiny")) == "not promised: it looks for regions"


def test_an_unknown_method_is_named():
    with pytest.raises(RFBenchError, match="Unknown method 'nowhere'"):
        MethodSubject("nowhere")
