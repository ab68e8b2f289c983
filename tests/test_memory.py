"""Bytes kept for backward, of layers that can be counted by hand; conformance holds every pair to its limit."""

import torch
from torch import nn

from rfbench.memory import saved_bytes


def test_counts_each_storage_once_and_no_parameter():
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    # The input, and the ReLU's output, which the second convolution keeps, too.
    assert saved_bytes(model, (2, 3, 16, 16)) == 4 * 2 * 16 * 16 * (3 + 8)
    assert saved_bytes(model.requires_grad_(False), (2, 3, 16, 16)) == 0
