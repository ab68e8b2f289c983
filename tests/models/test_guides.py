"""Which record goes where: from down paths and transitions to the up paths of guided pairs."""

import pytest
import torch

import rfbench
from operators.a2u import A2UDownPath, A2UUpPath
from operators.indexnet import IndexNetDownPath, IndexNetUpPath
from operators.maxpool import MaxPoolPath, MaxUnpoolPath
from rfbench.models import backbones
from rfbench.models.hrnet import OperatorHRNet

TWO_MODULES = backbones.stages((8, 16, 32, 64), (1, 2, 2), 1, {"num_blocks": (1,), "num_channels": (16,)})


def run(pair: str, down: type, up: type) -> tuple[dict, dict]:
    """What every down path recorded and every up path was given, by module name, in one forward pass."""
    network = OperatorHRNet(TWO_MODULES, pair)
    network.eval()
    recorded, given = {}, {}
    for name, module in network.named_modules():
        if isinstance(module, down):
            module.register_forward_hook(lambda _, inputs, outputs, name=name: recorded.update({name: outputs[1]}))
        elif isinstance(module, up):
            module.register_forward_pre_hook(lambda _, inputs, name=name: given.update({name: inputs[1]}))
    network(torch.randn(1, 3, 97, 75))
    return recorded, given


def same(given, expected) -> bool:
    return len(given) == len(expected) and all(a is b for a, b in zip(given, expected, strict=True))


@pytest.mark.parametrize(
    ("pair", "down", "up"), [("indexnet", IndexNetDownPath, IndexNetUpPath), ("a2u", A2UDownPath, A2UUpPath)]
)
def test_the_previous_module_guides_or_the_transitions_where_it_had_no_such_branch(pair, down, up):
    recorded, given = run(pair, down, up)
    created = [recorded[f"transition{n}.{n}"][0] for n in (1, 2, 3)]
    modules = ["stage2.0", "stage3.0", "stage3.1", "stage4.0", "stage4.1"]
    assert len(given) == 1 + 2 * 3 + 2 * 6
    for name, maps in given.items():
        stage, m, _, i, j = name.split(".")
        i, j, before = int(i), int(j), modules.index(f"{stage}.{m}") - 1
        previous = f"{modules[before]}.fuse_layers.{j}.{i}" if before >= 0 else ""
        assert same(maps, recorded.get(previous, created[i:j])), name
    assert same(given["stage4.0.fuse_layers.0.3"], created)
    assert same(given["stage4.0.fuse_layers.1.2"], recorded["stage3.1.fuse_layers.2.1"])
    assert same(given["stage4.1.fuse_layers.0.3"], recorded["stage4.0.fuse_layers.3.0"])


def test_the_mirrored_path_of_the_same_module_guides_unpooling():
    recorded, given = run("maxpool_maxunpool", MaxPoolPath, MaxUnpoolPath)
    assert len(given) == 1 + 2 * 3 + 2 * 6
    for name, records in given.items():
        module, i, j = name.rsplit(".", 2)
        assert same(records, recorded[f"{module}.{j}.{i}"]), name


@pytest.mark.parametrize(
    ("pair", "options"),
    [
        ("lip_bilinear", {"lip": {"kind": "simplified"}}),
        ("lip_bilinear", {"lip": {"width": 16}}),
        ("carafe_carafe", {"carafe": {"kernel": 3, "compressed": 16, "encoder_kernel": 1}}),
        *(
            ("indexnet", {"indexnet": {"kind": kind, "nonlinear": nonlinear, "context": context}})
            for kind, nonlinear, context in (
                ("holistic", True, False),
                ("o2o", False, False),
                ("o2o", True, True),
                ("m2o", True, True),
            )
        ),
        ("a2u", {"a2u": {"shared": False}}),
        ("a2u", {"a2u": {"up_kernel": 5}}),
    ],
)
def test_the_published_alternatives_train_in_the_network(pair, options):
    model = rfbench.build_model(pair, "hrnetv2_embedded", operator_options=options).train()
    logits = model(torch.randn(2, 3, 97, 75))
    logits.square().mean().backward()
    assert logits.shape == (2, 4, 97, 75)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_an_impossible_option_names_pair_and_backbone():
    message = "'a2u' on 'hrnetv2_embedded': A2U: up_kernel must be odd, not 4"
    with pytest.raises(rfbench.errors.RFBenchError, match=message):
        rfbench.build_model("a2u", "hrnetv2_embedded", operator_options={"a2u": {"up_kernel": 4}})
