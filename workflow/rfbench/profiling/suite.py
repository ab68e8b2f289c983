"""What `rfbench gpu` measures, and at which sizes. Light, so that a command knows it before a GPU is claimed."""

from dataclasses import dataclass

from rfbench.names import BASELINE_PAIR

TRAINED = {"training_baseline": BASELINE_PAIR, "training_m2mrf_c": "m2mrf_c"}
BLOCKS = ("bfloat16", "float32", "tf32", "compiled_bfloat16", "compiled_float32", *TRAINED)


@dataclass(frozen=True)
class Suite:
    """Sizes of the measurement.

    Args:
        pairs: what is profiled, operator pairs and methods, under the record's name for both.
        size: width and height of the profiled images, px.
        crop: width and height of the training step's images, px.
        batch: images of a training step.
        iterations: training steps of each kind.
    """

    pairs: tuple[str, ...]
    backbone: str = "hrnetv2_w48"
    size: tuple[int, int] = (1024, 1024)
    rounds: int = 9
    crop: tuple[int, int] = (1440, 960)
    batch: int = 4
    iterations: int = 200
    device: str = "cuda"
