"""Names that every room writes alike: lesions and their colours, metrics, formats; which names may be given.

Light; no torch.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

# Of IDRiD and DDR in painting order: label value = index + 1, and a later class overwrites an earlier one.
LESIONS = ("EX", "HE", "SE", "MA")
METRICS = ("aupr11", "ap", "f", "iou", "precision", "recall")  # of a run and lesion, see docs/protocol.md
# How a run stands. A run of the first two is ended; the others are taken up again.
STATES = ("done", "diverged", "timeout", "oom", "error", "missing")
BASELINE_PAIR = "strideconv_bilinear"  # HRNetV2's own operators
BASELINE_ROW = "StrideConv/Bilinear"  # the same as the papers' tables name it
PHOTOGRAPHS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")  # formats that `rfbench predict` reads, Pillow's names
PRECISIONS = ("float32", "tf32", "bfloat16")  # that a pair is profiled in
MIN_SIZE = 64  # px: a smaller image leaves HRNet's lowest branch a single row or column
LARGEST_FRAME = 80_000_000  # px of an image; the largest real one has 18 million, a tiny file can claim far more

# The paper's colours (HE green, MA blue, EX red, SE yellow), darkened to be told apart on white …
LESION_COLOURS = {"EX": "#d55e00", "HE": "#009e73", "SE": "#e69f00", "MA": "#0072b2"}
# … fully saturated for outlines on photographs …
OUTLINE_COLOURS = {"EX": "#ff0000", "HE": "#00dc00", "SE": "#ffff00", "MA": "#1e78ff"}
# … and for lesions that the papers do not know.
OTHER_COLOURS = ("#8c564b", "#9467bd", "#17becf", "#e377c2", "#7f7f7f", "#000000")

# What becomes a column and the name of files: a data set, a lesion.
NAME = "[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
LESION = "[A-Z][A-Za-z0-9-]{0,19}"
LESION_FORM = "a capital letter, then up to 19 letters, digits or -"
MOST_LESIONS = 255  # a label map has 8 bits, 0 is the background

_STEM = re.compile(r"\w[\w .()+-]{0,99}(?<![ .])")
STEM_FORM = "letters, digits, spaces and _.()+- only, at most 100, the first no sign, the last no space or dot"
_STEM_BYTES = 200  # a file system allows 255 for a name; `<stem>_<lesion>.png` and a temporary suffix need the others


def lesion_colour(lesion: str, lesions: tuple[str, ...]) -> str:
    """Colour of a lesion among the data set's `lesions`, as #rrggbb; the same in every figure."""
    others = [name for name in lesions if name not in LESION_COLOURS]
    return LESION_COLOURS.get(lesion) or OTHER_COLOURS[others.index(lesion) % len(OTHER_COLOURS)]


def composed(text: str) -> str:
    """A text in Unicode's composed form: macOS writes é as e and an accent, which looks the same and is not equal."""
    return unicodedata.normalize("NFC", text)


def is_stem(stem: str) -> bool:
    """Whether an image may be called so: its name becomes that of files, and a stem never leaves its folder."""
    return bool(_STEM.fullmatch(stem)) and len(stem.encode(errors="surrogateescape")) <= _STEM_BYTES


def is_generated(stem: str) -> bool:
    """Whether a stem is that of a generated image, in any case: a file system may have changed it."""
    return stem.upper().startswith("SYN_")


def lesion_problem(lesions: Sequence[str]) -> str | None:
    """What is wrong with the lesions of a data set, in words ("expected …, found …"); None if nothing is."""
    if not 1 <= len(lesions) <= MOST_LESIONS:
        return f"expected 1 to {MOST_LESIONS} lesions, found {len(lesions)}"
    for lesion in lesions:
        if not isinstance(lesion, str) or not re.fullmatch(LESION, lesion):
            return f"expected names of {LESION_FORM}, found {lesion!r}"
    twice = [lesion for lesion, count in Counter(lesions).items() if count > 1]
    return f"expected every lesion once, found {twice[0]} {Counter(lesions)[twice[0]]} times" if twice else None
