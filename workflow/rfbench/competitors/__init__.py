"""What competes, by one name: an operator pair inside HRNetV2, or a whole method (column `pair` of every table)."""

import operators
from rfbench.competitors import methods


def is_method(name: str) -> bool:
    """Whether a name is a method's; without importing one."""
    return name in methods.available()


def row(name: str) -> str:
    """The competitor's row in tables, by the papers' word where they have one."""
    return methods.row(name) if is_method(name) else operators.get(name).published_name


def options(name: str) -> dict[str, dict[str, object]]:
    """What may be set of a competitor, with the defaults: operator, or method, -> option -> value."""
    if is_method(name):
        return {name: dict(methods.method(name).options)}
    return {operator: dict(operators.defaults(operator)) for operator in operators.operators_of(name)}


def clash(name: str) -> str:
    """Why a method cannot compete under its name, or its row, beside the pairs, in words; empty if it can."""
    if name in operators.available():
        return f"{methods.origin(name)} and {operators.origin(name)} both declare {name}, a method and an operator pair"
    label = methods.row(name)
    same = [pair for pair in operators.available() if operators.get(pair).published_name == label]
    same += [other for other in methods.available() if other != name and methods.row(other) == label]
    return f"{methods.origin(name)} declares the row {label}, which is {same[0]}'s" if same else ""
