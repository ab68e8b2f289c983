"""Export to ONNX at a fixed shape, with equal outputs in ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
import torch

import rfbench

from ..operators.test_blocks import BLOCKS, CHANNELS, make, outputs

# CARAFE's and A2U's sums over taps unroll into graphs that take minutes to export for a whole network.
NETWORKS = [
    "strideconv_bilinear",
    "m2mrf_c",
    "m2mrf_b",
    "maxpool_maxunpool",
    "indexnet",
    "lip_bilinear",
    "strideconv_deconv",
]


def assert_same_in_onnx(module: torch.nn.Module, x: torch.Tensor) -> None:
    """Export a module and compare every output with ONNX Runtime's."""
    program = torch.onnx.export(module.eval(), (x,), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        for got, expected in zip(found, outputs(module, x), strict=True):
            np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("pair", NETWORKS)
def test_networks_export(pair):
    options = {"m2mrf": {"patch_size": 4, "alpha": 16}}
    model = rfbench.build_model(pair, "hrnetv2_embedded", operator_options=options)
    assert_same_in_onnx(model, torch.randn(1, 3, 96, 64))


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_export_with_what_they_record(name):
    assert_same_in_onnx(make(name), torch.randn(1, CHANNELS, 7, 6))
