"""Judge a run image by image: its metrics, its evidence (evidence.py) and its masks from one pass over the pixels."""

from collections.abc import Sequence

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

    Attributes:
        metrics: of the images so far.
    """

    def __init__(self, lesions: Sequence[str] = LESIONS):
        self.metrics = LesionMetrics(lesions)
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
        parts, masks, shown = [], [], label.cpu().numpy()
        lesions: list[ImageLesions] = []

        def keep(c: int, channel: pixels.Channel) -> None:
            if not lesions:  # here, once the label map is known to be one
                lesions.append(ImageLesions.of(shown))
            found = detect(channel.scores, channel.levels, lesions[0], c)
            binned = pixels.coarse(channel.histogram)
            parts.append(ImageEvidence(channel.above, len(channel.where), binned, found))
            masks.append(runs_of(channel.levels > AT_HALF))

        counts = self.metrics.update(prob, label, keep)
        self._stems.append(stem)
        self._sizes.append((shown.shape[1], shown.shape[0]))
        self._diameters.append(diameter)
        self._found.append(lesions[0])
        self._parts += parts
        self._masks += masks
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
