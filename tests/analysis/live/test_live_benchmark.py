"""The benchmark of the stream measures steps of each kind, and the memory where it can."""

import math

from analysis.live_benchmark import measure_live, resident_mb


def test_every_kind_of_step_is_measured():
    cost = measure_live(seconds=70)
    assert 0 < cost.quiet < cost.reasons <= cost.slowest
    assert 0 < cost.cry <= cost.slowest
    assert math.isnan(resident_mb()) or 50 < cost.memory_1_minute <= cost.memory_10_minutes * 1.5
