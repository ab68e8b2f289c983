"""The metrics of lesion segmentation, under the name that others import them by."""

from rfbench.evaluation.metrics import LesionMetrics
from rfbench.names import LESIONS, METRICS

__all__ = ["LESIONS", "METRICS", "LesionMetrics"]
