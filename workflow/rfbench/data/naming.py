"""Names that become columns and file names: of lesions and of images."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

LESION = re.compile(r"[A-Z][A-Za-z0-9-]{0,19}")
LESION_FORM = "a capital letter, then up to 19 letters, digits or -"
MOST_LESIONS = 255  # a label map has 8 bits, 0 is the background

_STEM = re.compile(r"\w[\w .()+-]{0,99}(?<![ .])")
STEM_FORM = "letters, digits, spaces and _.()+- only, at most 100, the first no sign, the last no space or dot"
_STEM_BYTES = 200  # a file system allows 255 for a name; `<stem>_<lesion>.png` and a temporary suffix need the others


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
        if not isinstance(lesion, str) or not LESION.fullmatch(lesion):
            return f"expected names of {LESION_FORM}, found {lesion!r}"
    twice = [lesion for lesion, count in Counter(lesions).items() if count > 1]
    return f"expected every lesion once, found {twice[0]} {Counter(lesions)[twice[0]]} times" if twice else None
