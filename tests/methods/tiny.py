"""A method of two convolutions, for tests: what must hold for every method, at a thousandth of the cost."""

from torch import Tensor, nn

from rfbench.competitors.method import Method, Weights

STRIDE = 4


class Tiny(nn.Module):
    """(N, 3, H, W) -> (N, L, H, W): a strided convolution with a batch norm, a convolution to L, bilinear back."""

    def __init__(self, num_lesions: int, width: int, bias: bool = True):
        super().__init__()
        self.stem = nn.Conv2d(3, width, STRIDE + 1, STRIDE, STRIDE // 2, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, num_lesions, 1, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.head(self.norm(self.stem(images)).relu()).float()
        return nn.functional.interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)


def build(num_lesions: int, *, size: str, width: int = 0, bias: bool = True) -> nn.Module:
    return Tiny(num_lesions, width or {"published": 32, "embedded": 8}[size], bias)


def rename(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("conv1.", "stem.").replace("bn1.", "norm."): tensor for name, tensor in state.items()}


METHOD = Method(
    label="Tiny",
    paper="none",
    build=build,
    confidence="made for tests",
    parameters=32 * (3 * 25 + 2) + 4 * 33,
    options={"width": 0, "bias": True},
    weights={
        "small": Weights(
            file="tiny.pth", where="nowhere", rename=rename, ignored=(r"fc\..*",), untouched=(r"head\..*",)
        )
    },
)
