"""What must be known of a network besides its weights: the schema of a checkpoint's meta and of the options for it."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from rfbench.checked import Foreign
from rfbench.names import LARGEST_FRAME, LESION_FORM, MIN_SIZE, lesion_problem
from rfbench.registry import NAME
from rfbench.settings.types import MAX_SIZE, Colour, Line, Options, Size, Spreads


def _check_pair(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("no name of a pair or method")
    return name


def _check_lesions(lesions: object) -> object:
    if not isinstance(lesions, list | tuple):
        raise ValueError("no list")
    if problem := lesion_problem(lesions):
        raise ValueError(problem)
    return lesions


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    if size[0] * size[1] > LARGEST_FRAME:
        raise ValueError("too many pixels")
    return size


Pair = Annotated[Line, AfterValidator(_check_pair)]
Lesions = Annotated[tuple[str, ...], BeforeValidator(_check_lesions)]
Scale = Annotated[Size, AfterValidator(_check_size)]

_SCALE = f"width and height, whole numbers of px from {MIN_SIZE} to {MAX_SIZE}, {LARGEST_FRAME:,} px together at most"


class Description(Foreign):
    """A network and how a photograph enters it. None stands for what nobody says."""

    model_config = ConfigDict(strict=False)  # lists may stand for tuples; the types of the settings are strict within

    pair: Pair | None = Field(None, description="the name of an operator pair (`rfbench operators`) or a method")
    backbone: Line | None = Field(None, description="the name of a backbone, such as hrnetv2_w48")
    operator_options: Options | None = Field(None, description="a mapping of operators to their options")
    method_options: Options | None = Field(None, description="a mapping of a method to its options")
    lesions: Lesions | None = Field(None, description=f"lesions, each once and named with {LESION_FORM}")
    scale: Scale | None = Field(None, description=_SCALE)
    mean: Colour | None = Field(None, description="three numbers from 0 to 255")
    std: Spreads | None = Field(None, description="three numbers above 0 and up to 255")

    def said(self) -> dict:
        """What is said, as JSON holds it: lists, and nothing for None."""
        return self.model_dump(mode="json", exclude_none=True)
