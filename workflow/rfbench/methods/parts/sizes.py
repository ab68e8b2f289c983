"""The two sizes of every method."""

from rfbench.errors import RFBenchError

DIVISORS = {"published": 1, "embedded": 8}


def divisor(size: str) -> int:
    """What the published widths are divided by; `embedded` is an eighth, for tests and CPUs."""
    if size not in DIVISORS:
        raise RFBenchError(f"Unknown size '{size}' of a method. Available: {', '.join(DIVISORS)}.")
    return DIVISORS[size]


def one_of(value: object, allowed: tuple, what: str) -> None:
    """Refuse an option that is not one of the allowed values."""
    if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
        raise RFBenchError(f"{what}: expected {' or '.join(map(str, allowed))}, found {value!r}.")
