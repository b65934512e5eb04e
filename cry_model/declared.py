"""Hold values against the types and ranges that dataclasses and signatures declare.

What a checkpoint says of itself is anyone's JSON. ``Annotated[int, Within(1, 8)]`` on a field or on
an argument is all that it takes for a sentence in the place of a crash.
"""

from __future__ import annotations

import inspect
import reprlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, wraps
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as type_hints

Record = TypeVar("Record")
ROUNDING = 1e-9  # a sum of shares may end this far above 1
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Within:
    """A number's range, both ends included; NaN is in none.

    As text, this and the next two are the end of "it must be a number ...".
    """

    least: float
    most: float

    def __str__(self) -> str:
        ends = self.least, self.most
        return f"equal to {self.most}" if self.least == self.most else "from {} to {}".format(*ends)

    def holds(self, value: float) -> bool:
        return self.least - ROUNDING <= value <= self.most + ROUNDING


@dataclass(frozen=True)
class Line:
    """Text that can be shown: one line, neither blank nor endless."""

    longest: int

    def __str__(self) -> str:
        return f"on one line, of 1 to {self.longest} characters"

    def holds(self, value: str) -> bool:
        shown = all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in value)
        return shown and bool(spoken(value)) and len(value) <= self.longest


@dataclass(frozen=True)
class Different:
    """Some entries, and no two that read alike."""

    most: int

    def __str__(self) -> str:
        return f"of 1 to {self.most} that read differently"

    def holds(self, value: Sequence[str]) -> bool:
        return 0 < len({spoken(entry) for entry in value}) == len(value) <= self.most


def spoken(label: str) -> str:
    """Write a label as the page does: belly_pain -> belly pain."""
    return " ".join(label.replace("_", " ").split())


Share = Annotated[float, Within(0, 1)]
Count = Annotated[int, Within(0, 10**12)]
Seed = Annotated[int, Within(-(2**63), 2**64)]
Name = Annotated[str, Line(200)]
Classes = Annotated[int, Within(0, 1000)]  # 0: `fit` builds one before it learns of labels
Bands = Annotated[int, Within(1, 1024)]
Names = Annotated[tuple[Name, ...], Different(1000)]


def fitted(hint: Any, value: Any, name: str) -> Any:
    """Give a value as a hint wants it: out of JSON, lists become tuples and objects dataclasses.

    Args:
        hint: a dataclass, ``int``, ``float``, ``bool``, ``str``, a ``Literal``, ``None``, ``Any``;
            a tuple, a mapping or a union of these; any of them ``Annotated`` with conditions.
        value: out of JSON, or what the hint says already.
        name: how the ``ValueError`` calls it that says what it must be.
    """
    conditions: Sequence[Within | Line | Different] = ()
    if get_origin(hint) is Annotated:
        hint, *conditions = get_args(hint)
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return _one_of(inner, value, name)
    if is_dataclass(kind):
        return value if isinstance(value, kind) else read(kind, value, name)
    if kind is tuple and isinstance(value, list | tuple):
        found: Any = tuple(fitted(inner[0], v, f"{name}[{i}]") for i, v in enumerate(value))
    elif kind is Mapping and isinstance(value, Mapping):
        found = {fitted(inner[0], k, f"a name in {name}"): v for k, v in value.items()}
        found = {k: fitted(inner[1], v, f"{name}.{k}") for k, v in found.items()}
    else:
        found = value
    if not (_is(found, kind, inner) and all(condition.holds(found) for condition in conditions)):
        wanted = " ".join([_said(kind, inner), *map(str, conditions)])
        raise ValueError(f"{name} must be {wanted}, not {reprlib.repr(value)}")
    return found


def read(cls: type[Record], data: Any, name: str = "") -> Record:
    """Make a dataclass of a JSON object; ``ValueError`` if a field is missing or unknown."""
    if not isinstance(data, Mapping):
        raise ValueError(f"{name or 'it'} must be an object, not {reprlib.repr(data)}")
    place, known = f"{name}." if name else "", {f.name: f for f in fields(cls)}
    for key in data:
        if key not in known:
            raise ValueError(f"{place}{reprlib.repr(key)} is not known here")
    for key, field in known.items():
        if key not in data and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{place}{key} is missing")
    return cls(**{k: fitted(_hints(cls)[k], v, f"{place}{k}") for k, v in data.items()})


def require_declared(record: Any) -> None:
    """Hold every field of a dataclass against what its class declares; see :func:`fitted`."""
    for field in fields(record):
        fitted(_hints(type(record))[field.name], getattr(record, field.name), field.name)


def require(holds: bool, sentence: str) -> None:
    """Raise ``ValueError`` with the sentence if it does not hold."""
    if not holds:
        raise ValueError(sentence)


def declared(init: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor first hold its arguments against its signature; see :func:`fitted`."""
    signature = inspect.signature(init)

    @wraps(init)
    def constructor(*args: Any, **kwargs: Any) -> None:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            fitted(_hints(init).get(name, Any), value, name)
        init(*args, **kwargs)

    return constructor


@cache
def _hints(source: Any) -> Mapping[str, Any]:
    return type_hints(source, include_extras=True)


def _one_of(hints: tuple[Any, ...], value: Any, name: str) -> Any:
    """Choose from a union: None, the dataclass that the value is, or else the first."""
    if value is None and NoneType in hints:
        return None
    rest = [hint for hint in hints if hint is not NoneType]
    own = [hint for hint in rest if is_dataclass(hint) and isinstance(value, hint)]
    return fitted((own or rest)[0], value, name)


def _is(value: Any, kind: Any, inner: tuple[Any, ...]) -> bool:
    if kind is Any:
        return True
    if kind is Literal:  # True is no 1
        return any(type(value) is type(one) and value == one for one in inner)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _said(kind: Any, inner: tuple[Any, ...]) -> str:
    if kind is Literal:
        return "one of " + ", ".join(map(repr, inner))
    return NAMES.get(kind, "an object" if kind is Mapping else "a list")
