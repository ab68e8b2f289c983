"""What a whole method declares: its network beside the operator pairs, and what it needs of its own."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Weights:
    """An ImageNet file that a method starts from, and how its names map to the network's.

    Args:
        file: what such files are called ("swin_base_patch4_window7_224_22k.pth …"), for messages.
        where: where to get it, in words and address.
        rename: a state_dict of the file, less what is ignored -> the network's names; raises RFBenchError at what it
            does not know.
        ignored: names of the file that the network has no use for (a classifier), as regular expressions.
        untouched: names of the network that the file does not hold (the head), as regular expressions.
    """

    file: str
    where: str
    rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    ignored: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()

    def ignores(self, name: str) -> bool:
        """Whether the network has no use for this name of a file."""
        return any(re.fullmatch(pattern, name) for pattern in self.ignored)

    def leaves(self, name: str) -> bool:
        """Whether no such file holds this name of the network."""
        return any(re.fullmatch(pattern, name) for pattern in self.untouched)

    def named(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A file's tensors under the network's names, without those that are ignored.

        Raises:
            RFBenchError: a tensor is of no known name.
        """
        return dict(self.rename({name: tensor for name, tensor in state.items() if not self.ignores(name)}))


@dataclass(frozen=True, kw_only=True)
class Method:
    """A whole network that competes like an operator pair; a file of `rfbench.methods` names it METHOD.

    Args:
        label: row in the papers' tables, e.g. "PSPNet"; a label of its own if the papers have none.
        paper: source in a line.
        build: (num_lesions, *, size, **options) -> network. `size` is "published" or "embedded" (narrower, for CPUs).
            The network takes normalised images (N, 3, H, W) and returns logits (N, num_lesions, H, W) in float32.
            It is initialised by `build` from torch's global random state; nothing is downloaded.
        confidence: what is known exactly and what is chosen here, in words ("depth not identified …").
        options: option -> default.
        parameters: learnable parameters at size published, four lesions and default options; exact.
        minimum: smallest height and width of an image in px.
        recipe: keys of the configuration's `recipe` that this method needs otherwise, e.g. its own optimiser.
        loss: (network, images (N, 3, H, W) float32, labels (N, H, W) int64 (0 background, i + 1 lesion i)) -> loss;
            None for the experiment's own loss on the logits.
        weights: ImageNet files it can start from, by name of the configuration's option.
        published: label under which results.csv holds published values, None for none; usually the label.
    """

    label: str
    paper: str
    build: Callable[..., nn.Module]
    confidence: str
    parameters: int
    options: Mapping[str, Any] = field(default_factory=dict)
    minimum: int = 64
    recipe: Mapping[str, Any] = field(default_factory=dict)
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None
    weights: Mapping[str, Weights] = field(default_factory=dict)
    published: str | None = None
