"""Validate JSON, settings and records against their declared types and ranges, with pydantic.

A checkpoint's config is untrusted JSON. Declaring ``Annotated[int, Field(ge=1, le=8)]`` for a field
or an argument suffices to get an error message instead of a crash.
"""

from __future__ import annotations

import inspect
import json
import re
import reprlib
import unicodedata
from collections.abc import Callable
from functools import cache, wraps
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    FailFast,
    Field,
    TypeAdapter,
    ValidationError,
    validate_call,
)

Record = TypeVar("Record")
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
ROUNDING = 1e-9  # tolerance of shares above 1 and below 0
LONGEST = 200  # characters of a name


def words(label: str) -> str:
    """Return a label or a metric's name with spaces: ``belly_pain`` -> ``belly pain``."""
    return " ".join(label.replace("_", " ").split())


def _one_line(text: str) -> str:
    shown = all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in text)
    require(shown and bool(words(text)), "it is blank, or not on one line")
    return text


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    require(len({*map(words, names)}) == len(names), "two of them look alike")
    return names


def strict(record: type[Record]) -> type[Record]:
    """Let :func:`read` validate a dataclass under :data:`STRICT`; code constructs it unchecked."""
    record.__pydantic_config__ = STRICT  # type: ignore[attr-defined]
    return record


Share = Annotated[float, Field(ge=-ROUNDING, le=1 + ROUNDING)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**64)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(_one_line)]
Classes = Annotated[int, Field(ge=0, le=1000)]  # 0: `fit` builds a model before it knows the labels
Bands = Annotated[int, Field(ge=1, le=1024)]
Names = Annotated[
    tuple[Name, ...],
    Field(min_length=1, max_length=1000),
    FailFast(),
    AfterValidator(_different),
]
Seeds = Annotated[tuple[Seed, ...], FailFast()]  # stop at the first invalid entry


def read(kind: Any, data: Any, name: str = "") -> Any:
    """Validate JSON data as the type or dataclass ``kind``, and return that; raise ValueError,
    whose message calls the data ``name``, if they do not conform."""
    try:
        return _adapter(kind).validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise ValueError(sentence(error, name)) from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def sentence(error: ValidationError, name: str = "") -> str:
    """Describe the first error in one line of bounded length, which quotes only printable parts of
    the JSON."""
    first = error.errors(include_url=False)[0]
    place = ".".join([*filter(None, [name]), *map(_part, first["loc"])])
    match first["type"]:
        case "missing":
            return f"{place} is missing"
        case "unexpected_keyword_argument":
            return f"{place} is unknown"
        case "tuple_type":
            return f"{place} must be several values, such as 1,2, not {_repr(first['input'])}"
        case "union_tag_not_found":
            return f"{place}: the kind is missing"
        case "union_tag_invalid":
            return f"{place}: the kind must be one of {first['ctx']['expected_tags']}"
        case "value_error":
            return ": ".join(filter(None, [place, str(first["ctx"]["error"])]))
        case _:
            said = f"{first['msg'][0].lower()}{first['msg'][1:]}, not {_repr(first['input'])}"
            return ": ".join(filter(None, [place, said]))


def _part(part: str | int) -> str:
    return str(part) if re.fullmatch(r"[\w\[\] -]{1,40}", str(part), re.ASCII) else _repr(part)


def _repr(value: Any) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer with more digits than Python prints
        return "that"


def require(holds: bool, sentence: str) -> None:
    """Raise ``ValueError`` with the sentence unless ``holds``."""
    if not holds:
        raise ValueError(sentence)


def plainly(init: Callable[..., None]) -> Callable[..., None]:
    """Make a constructor checked by pydantic raise ValueError with one :func:`sentence`."""

    @wraps(init)
    def constructor(*args: Any, **kwargs: Any) -> None:
        try:
            init(*args, **kwargs)
        except ValidationError as error:
            raise ValueError(sentence(error)) from error

    return constructor


def plain(record: type[Record]) -> type[Record]:
    """Make a pydantic dataclass raise ValueError with one :func:`sentence`."""
    record.__init__ = plainly(record.__init__)  # type: ignore[method-assign, misc]
    return record


def declared(init: Callable[..., None]) -> Callable[..., None]:
    """Make a constructor validate its arguments against its signature; ValueError if one is
    invalid, TypeError if one is unknown or missing."""
    checked, signature = plainly(validate_call(config=STRICT)(init)), inspect.signature(init)

    @wraps(init)
    def constructor(*args: Any, **kwargs: Any) -> None:
        signature.bind(*args, **kwargs)
        checked(*args, **kwargs)

    return constructor
