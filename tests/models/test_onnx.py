"""Export to ONNX at a fixed shape, with equal outputs in ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
import torch

import rfbench
from operators.a2u import A2UDownsample
from operators.carafe import CARAFEDownsample, CARAFEUpsample

# CARAFE's and A2U's sums over taps unroll into graphs that take minutes to export for a whole network.
NETWORKS = ["strideconv_bilinear", "m2mrf_c", "m2mrf_b", "maxpool_maxunpool", "indexnet", "lip_bilinear"]


def assert_same_in_onnx(module: torch.nn.Module, x: torch.Tensor) -> None:
    """Export a module and compare its first output with ONNX Runtime's."""
    program = torch.onnx.export(module.eval(), (x,), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    with torch.no_grad():
        expected = module(x)
    expected = expected[0] if isinstance(expected, tuple) else expected
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("pair", NETWORKS)
def test_networks_export(pair):
    torch.manual_seed(0)
    options = {"m2mrf": {"patch_size": 4, "alpha": 16}}
    model = rfbench.build_model(pair, "hrnetv2_embedded", operator_options=options)
    assert_same_in_onnx(model, torch.randn(1, 3, 96, 64))


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [CARAFEUpsample(8, 2), CARAFEDownsample(8), A2UDownsample(8)], ids=lambda b: type(b).__name__
)
def test_blocks_export(block):
    torch.manual_seed(0)
    assert_same_in_onnx(block, torch.randn(1, 8, 12, 10))
