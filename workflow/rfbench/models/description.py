"""What must be known of a network besides its weights: the schema of a checkpoint's meta and of the options for it."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

import operators
from rfbench.checked import Foreign
from rfbench.names import LARGEST_FRAME, LESION_FORM, MIN_SIZE, lesion_problem

LARGEST_SIDE = 1 << 14  # px


def _plain_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _check_pair(name: str) -> str:
    if not operators.NAME.fullmatch(name):
        raise ValueError("no name of a pair")
    return name


def _check_lesions(lesions: list[str]) -> list[str]:
    if problem := lesion_problem(lesions):
        raise ValueError(problem)
    return lesions


def _check_size(size: list[int]) -> list[int]:
    if size[0] * size[1] > LARGEST_FRAME:
        raise ValueError("too many pixels")
    return size


_Side = Annotated[int, Field(ge=MIN_SIZE, le=LARGEST_SIDE)]
_Level = Annotated[float, Field(ge=0, le=255)]
_Spread = Annotated[float, Field(gt=0, le=255)]
_Option = bool | int | float | str
_Three = Field(min_length=3, max_length=3)
_List = BeforeValidator(_plain_list)

Pair = Annotated[str, AfterValidator(_check_pair)]
Lesions = Annotated[list[str], _List, AfterValidator(_check_lesions)]
Size = Annotated[list[_Side], _List, Field(min_length=2, max_length=2), AfterValidator(_check_size)]
Mean = Annotated[list[_Level], _List, _Three]
Std = Annotated[list[_Spread], _List, _Three]
OperatorOptions = dict[str, dict[str, _Option | list[_Option]]]

_SIZE = (
    f"width and height, whole numbers of px from {MIN_SIZE} to {LARGEST_SIDE}, {LARGEST_FRAME:,} px together at most"
)


class Description(Foreign):
    """A network and how a photograph enters it. None stands for what nobody says."""

    pair: Pair | None = Field(None, description="the name of an operator pair (`rfbench operators` lists them)")
    backbone: str | None = Field(None, description="the name of a backbone, such as hrnetv2_w48")
    operator_options: OperatorOptions | None = Field(None, description="a mapping of operators to their options")
    lesions: Lesions | None = Field(None, description=f"lesions, each once and named with {LESION_FORM}")
    scale: Size | None = Field(None, description=_SIZE)
    mean: Mean | None = Field(None, description="three numbers from 0 to 255")
    std: Std | None = Field(None, description="three numbers above 0 and up to 255")
