"""Names that every room writes alike: lesions and their colours, metrics, the baseline. Light; no torch."""

# Of IDRiD and DDR in painting order: label value = index + 1, and a later class overwrites an earlier one.
LESIONS = ("EX", "HE", "SE", "MA")
METRICS = ("aupr11", "ap", "f", "iou", "precision", "recall")  # of a run and lesion, see docs/protocol.md
BASELINE_PAIR = "strideconv_bilinear"  # HRNetV2's own operators
BASELINE_ROW = "StrideConv/Bilinear"  # the same as the papers' tables name it
MIN_SIZE = 64  # px: a smaller image leaves HRNet's lowest branch a single row or column

# The paper's colours (HE green, MA blue, EX red, SE yellow), darkened to be told apart on white …
LESION_COLOURS = {"EX": "#d55e00", "HE": "#009e73", "SE": "#e69f00", "MA": "#0072b2"}
# … fully saturated for outlines on photographs …
OUTLINE_COLOURS = {"EX": "#ff0000", "HE": "#00dc00", "SE": "#ffff00", "MA": "#1e78ff"}
# … and for lesions that the papers do not know.
OTHER_COLOURS = ("#8c564b", "#9467bd", "#17becf", "#e377c2", "#7f7f7f", "#000000")


def lesion_colour(lesion: str, lesions: tuple[str, ...]) -> str:
    """Colour of a lesion among the data set's `lesions`, as #rrggbb; the same in every figure."""
    others = [name for name in lesions if name not in LESION_COLOURS]
    return LESION_COLOURS.get(lesion) or OTHER_COLOURS[others.index(lesion) % len(OTHER_COLOURS)]
