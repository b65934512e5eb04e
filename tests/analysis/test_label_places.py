"""Names beside points: they meet neither each other nor points, at any width of the page."""

import numpy as np
import pytest

from analysis.label_places import MARK, Place, Point, boxes_of, label_places
from analysis.panels.systems import SYSTEMS
from analysis.panels.systems_rows import COST_AXES
from analysis.stats.runs import RESULTS, find_runs

HEIGHT = 388


def meeting(a, b):
    """By how many pixels two rectangles overlap."""
    across = min(a[2], b[2]) - max(a[0], b[0])
    upwards = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, min(across, upwards))


def worst(points, places, width):
    """The greatest overlap of names with names and of names with marks, and what sticks out."""
    boxes = boxes_of(points, places, HEIGHT, width)
    middle = [(p.x * width, p.y * HEIGHT) for p in points]
    marks = [(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in middle]
    names = [meeting(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
    covered = [meeting(a, b) for a in boxes for b in marks]
    outside = max((-boxes[:, :2]).max(), (boxes[:, 2:] - (width, HEIGHT)).max())
    return max([0, *names]), max(covered), outside


def point(x, y, name="ECAPA-TDNN"):
    return Point(x, y, y - 0.1, y + 0.1, (name,))


def test_a_rectangle_is_around_its_place():
    box = boxes_of([Point(0.5, 0.25, 0.25, 0.25, ("abc",))], [Place(30, -10)], 400, 300)[0]
    assert ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) == (150 + 30, 100 - 10)
    assert box[2] - box[0] > 10
    assert box[3] - box[1] == 14


def test_names_in_one_place_do_meet():
    same = [point(0.5, 0.5), point(0.5, 0.5)]
    assert worst(same, [Place(40, 0), Place(40, 0)], 300)[0] > 10


@pytest.mark.parametrize("seed", range(5))
def test_names_of_close_points_are_pulled_apart(seed):
    rng = np.random.default_rng(seed)
    points = [point(0.3 + 0.1 * x, 0.4 + 0.2 * y) for x, y in rng.random((6, 2))]
    points.append(point(0.95, 0.95, "improved (paper)"))  # its name must not leave the figure
    places = label_places(points, HEIGHT)
    for width in range(250, 1101, 50):
        names, covered, outside = worst(points, places, width)
        assert names < 3
        assert covered < 3
        assert outside <= 0


def test_a_point_alone_has_its_name_close_by():
    (place,) = label_places([point(0.5, 0.5)], HEIGHT)
    assert abs(place.up) + abs(place.right) < 60


def test_names_of_all_committed_systems_are_readable():
    found = find_runs(RESULTS)
    for cell in SYSTEMS.cells(found):
        for metric in ("accuracy", "macro_auc"):
            for cost in COST_AXES:
                check(SYSTEMS.draw(found, cell, metric=metric, cost=cost)[1].figure)


def check(figure):
    """Out of what is drawn: annotations at pixels beside the points of a logarithmic axis."""
    layout = figure.layout
    (left, right), (low, high) = layout.xaxis.range, layout.yaxis.range
    points, places = [], []
    for name in layout.annotations:
        x, y = (name.x - left) / (right - left), (name.y - low) / (high - low)
        points.append(Point(x, y, y, y, (name.text,)))
        places.append(Place(name.ax, -name.ay))
    for width in (250, 320, 480, 700, 1080):
        names, _, outside = worst(points, places, width)
        assert names == 0
        assert outside <= 0
