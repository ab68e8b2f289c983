"""Convolutions as the methods' own heads have them."""

from torch import nn


def conv_norm(inputs: int, outputs: int, side: int) -> nn.Sequential:
    """Convolution without bias, batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel_size=side, padding=side // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def conv_norm_relu(inputs: int, outputs: int, side: int) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU."""
    return conv_norm(inputs, outputs, side).append(nn.ReLU())


def initialise(module: nn.Module) -> None:
    """He's initialisation of every convolution below; biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
