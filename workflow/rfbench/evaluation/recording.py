"""Judge a run image by image: its metrics, its evidence (evidence.py) and its masks from one pass over the pixels."""

from collections.abc import Sequence
from functools import cache

from torch import Tensor

from rfbench.evaluation import pixels
from rfbench.evaluation.detection import detect
from rfbench.evaluation.metrics import LesionMetrics
from rfbench.lesions.evidence import AT_HALF, Evidence, ImageEvidence
from rfbench.lesions.masks import Masks, runs_of
from rfbench.lesions.runlength import Runs
from rfbench.lesions.truth import ImageLesions, Truth
from rfbench.names import LESIONS


class Recorder:
    """Metrics, evidence and masks of one network over the images of a split; 1 to 4 MB of memory an image.

    Args:
        lesions: names, one per probability channel.
        threads: that share an image's lesions.

    Attributes:
        metrics: of the images so far.
    """

    def __init__(self, lesions: Sequence[str] = LESIONS, threads: int = 1):
        self.metrics = LesionMetrics(lesions, threads)
        self._stems, self._sizes, self._diameters = [], [], []
        self._found: list[ImageLesions] = []
        self._parts: list[ImageEvidence] = []
        self._masks: list[Runs | None] = []

    def update(self, stem: str, prob: Tensor, label: Tensor, diameter: float) -> dict[str, dict[str, int]]:
        """Add one image; nothing is added if a ValueError is raised.

        Args:
            stem: its name.
            prob, label: as of LesionMetrics.update.
            diameter: of its field of view, in px of `label`.

        Returns:
            As LesionMetrics.update.

        Raises:
            ValueError: as LesionMetrics.update.
        """
        shown = label.cpu().numpy()
        lesions = cache(lambda: ImageLesions.of(shown))  # asked for once the label map is known to be one
        found: dict[int, tuple[ImageEvidence, Runs | None]] = {}

        def keep(c: int, channel: pixels.Channel) -> None:
            detection = detect(channel.scores, channel.levels, lesions(), c)
            binned = pixels.coarse(channel.histogram)
            part = ImageEvidence(channel.above, len(channel.where), binned, detection)
            found[c] = part, runs_of(channel.levels > AT_HALF)

        counts = self.metrics.update(prob, label, keep)
        self._stems.append(stem)
        self._sizes.append((shown.shape[1], shown.shape[0]))
        self._diameters.append(diameter)
        self._found.append(lesions())
        self._parts += [found[c][0] for c in sorted(found)]
        self._masks += [found[c][1] for c in sorted(found)]
        return counts

    def evidence(self) -> Evidence:
        """What to keep of the run."""
        size = [width * height for width, height in self._sizes]
        return Evidence.of(self.metrics.lesions, self._stems, size, self._parts)

    def masks(self) -> Masks:
        """Where each lesion is seen at 0.5."""
        return Masks.of(self.metrics.lesions, self._stems, self._sizes, self._masks)

    def truth(self) -> Truth:
        """The lesions of the images, in the order of the evidence."""
        return Truth.of(self.metrics.lesions, self._stems, self._sizes, self._diameters, self._found)
