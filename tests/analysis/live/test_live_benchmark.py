"""The benchmark of the stream measures steps of each kind, and the memory where it can."""

import math

from analysis.live_benchmark import measure_live, resident_mb


def test_every_kind_of_step_is_measured():
    cost = measure_live(seconds=70)
    for median in (cost.quiet, cost.cry, cost.reasons):
        assert 0 < median <= cost.slowest
    assert math.isnan(resident_mb()) or cost.memory_1_minute > 50
