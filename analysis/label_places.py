"""Where the names of points stand so that they cover neither points nor each other.

A figure is as wide as the page, which is not known when it is drawn. Names are placed by pixels
beside their points, so each place is tried at several widths at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cry_model.metrics import Array

WIDTHS = (250, 340, 520, 1100)
"""Of the plotting area in pixels, from a phone to the widest page."""
SMALL, CAPITAL, LINE = 6.2, 8.0, 14  # pixels, of a font of 11
MARK = 8  # pixels from the middle of a point to where nothing of it is left
ROUNDS = 4
SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
DISTANCES = (10, 24, 40, 58, 78)
OUTSIDE, COVERED, CROSSED, FAR = 1000.0, 100.0, 0.6, 0.25  # how bad, per pixel
ALONG = np.arange(1, 8) / 8  # of the line from a point to its name, where it may cross another


class Point(NamedTuple):
    """What gets a name: all 0 to 1, from the left and from the bottom of the plotting area.

    Attributes:
        x, y: where it is.
        low, high: the ends of its interval in y; ``y`` if it has none.
        name: lines of text.
    """

    x: float
    y: float
    low: float
    high: float
    name: tuple[str, ...]


class Place(NamedTuple):
    """Pixels from a point to the middle of its name: to the right and upwards."""

    right: float
    up: float


def label_places(
    points: Sequence[Point], height: float, widths: Sequence[float] = WIDTHS
) -> list[Place]:
    """A place for each name, found one after the other and then improved in turns.

    Args:
        points: all that are drawn.
        height: of the plotting area in pixels.
        widths: at which the names must not meet.
    """
    area = np.array([[width, height] for width in widths], dtype=np.float64)
    marks = np.stack([_boxes(point, (0, 0), (2 * MARK, 2 * MARK), area) for point in points])
    bars = np.stack([_bar(point, area) for point in points])
    tried = [_tried(point, area) for point in points]
    alone = [
        COVERED * (_meeting(own.names, marks) + own.crossing(np.delete(marks, i, axis=0)))
        + CROSSED * _meeting(own.names, bars)
        + OUTSIDE * _outside(own.names, area)
        + FAR * np.linalg.norm(own.places, axis=1)
        for i, own in enumerate(tried)
    ]
    chosen: dict[int, int] = {}
    for _ in range(ROUNDS):
        before = dict(chosen)
        for i, own in enumerate(tried):
            others = [(tried[j].names[k], tried[j].lines[k]) for j, k in chosen.items() if j != i]
            bad = alone[i]
            if others:
                names = np.stack([name for name, _ in others])
                lines = np.concatenate([line for _, line in others])
                covered = _meeting(own.names, np.concatenate([names, lines]))
                bad = bad + COVERED * (covered + own.crossing(names))
            chosen[i] = int(bad.argmin())
        if chosen == before:
            break
    return [Place(*map(float, own.places[chosen[i]])) for i, own in enumerate(tried)]


def boxes_of(
    points: Sequence[Point], places: Sequence[Place], height: float, width: float
) -> Array:
    """The rectangles of the names at one width: left, bottom, right, top; (points, 4)."""
    area = np.array([[width, height]])
    placed = zip(points, places, strict=True)
    return np.concatenate([_boxes(p, place, _size(p.name), area) for p, place in placed])


class _Tried(NamedTuple):
    """The places that are tried for a name, and the rectangles that it has there.

    Attributes:
        places: (places, 2).
        names: (places, widths, 4).
        lines: of the line from the point, in parts, (places, parts, widths, 4).
    """

    places: Array
    names: Array
    lines: Array

    def crossing(self, others: Array) -> Array:
        """By how many pixels the lines meet others of (n, widths, 4), summed; (places,)."""
        places, parts, widths, _ = self.lines.shape
        met = _meeting(self.lines.reshape(-1, widths, 4), others)
        return met.reshape(places, parts).sum(1)


def _tried(point: Point, area: Array) -> _Tried:
    size = _size(point.name)
    half = np.array(size) / 2
    places = np.array([np.array(side) * (half + far) for far in DISTANCES for side in SIDES])
    along = places[:, None] * ALONG[:, None]
    return _Tried(places, _boxes(point, places, size, area), _boxes(point, along, (3, 3), area))


def _size(name: Sequence[str]) -> tuple[float, float]:
    wide = max(sum(CAPITAL if letter.isupper() else SMALL for letter in line) for line in name)
    return wide, float(LINE * len(name))


def _boxes(
    point: Point, place: Sequence[float] | Array, size: Sequence[float], area: Array
) -> Array:
    """The rectangle of each place (..., 2): left, bottom, right, top; (..., widths, 4)."""
    middle = area * (point.x, point.y) + np.asarray(place)[..., None, :]
    half = np.asarray(size) / 2
    return np.concatenate([middle - half, middle + half], axis=-1)


def _bar(point: Point, area: Array) -> Array:
    middle = point._replace(y=(point.low + point.high) / 2)
    return _boxes(middle, (0, 0), (4, (point.high - point.low) * area[0, 1]), area)


def _meeting(boxes: Array, others: Array) -> Array:
    """By how many pixels each of (places, widths, 4) meets others of (n, widths, 4), summed."""
    ends = np.minimum(boxes[:, None, :, 2:], others[..., 2:])
    shared = ends - np.maximum(boxes[:, None, :, :2], others[..., :2])
    return np.clip(shared, 0, None).min(-1).sum((1, 2))


def _outside(boxes: Array, area: Array) -> Array:
    """By how many pixels each of (places, widths, 4) leaves the plotting area, summed."""
    beyond = np.concatenate([-boxes[..., :2], boxes[..., 2:] - area], axis=-1)
    return np.clip(beyond, 0, None).sum((1, 2))
