"""Networks: HRNetV2 with an operator pair injected, its head, the segmentor around both."""

from rfbench.models.segmentor import LesionSegmentor, assemble, build_model, count_parameters

__all__ = ["LesionSegmentor", "assemble", "build_model", "count_parameters"]
