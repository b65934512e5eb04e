"""What is written as JSON can be read by everybody."""

import json
import math

import numpy as np
import pytest

from cry_model.checkpoint import to_json


def strict(text):
    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"a": math.nan}, {"a": None}),
        ({"a": math.inf, "b": -math.inf}, {"a": None, "b": None}),
        ({"a": {"b": [1, (2.5, math.nan)]}}, {"a": {"b": [1, [2.5, None]]}}),
        ([np.float64("nan"), np.float64(0.5)], [None, 0.5]),
        ({"ä": "NaN", "n": None, "t": True}, {"ä": "NaN", "n": None, "t": True}),
        ({0: 1.0, "big": 10**30}, {"0": 1.0, "big": 10**30}),
        ((), []),
        (math.nan, None),
    ],
)
@pytest.mark.parametrize("indent", [2, None])
def test_a_number_that_is_none_is_null_wherever_it_stands(record, expected, indent):
    text = to_json(record, indent)
    assert strict(text) == expected
    assert ("\n" in text) == (indent is not None and len(text) > 4)
