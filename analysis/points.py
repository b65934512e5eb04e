"""Shares and differences of metrics as a sentence writes them: in points, which are hundredths."""

from __future__ import annotations


def number(share: float, digits: int = 0, sign: bool = False) -> str:
    """−0.066 -> "−7"; a nought has no sign."""
    text = f"{100 * share:{'+' if sign else ''}.{digits}f}"
    if not float(text):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def points(share: float, digits: int = 0, sign: bool = False) -> str:
    """−0.066 -> "−7 points"."""
    written = number(share, digits, sign)
    return f"{written} {'point' if written.lstrip('+−') == '1' else 'points'}"


def span(low: float, high: float, digits: int = 0, sign: bool = False) -> str:
    """An interval in points: "95 % interval −6 to 9"."""
    return f"95 % interval {number(low, digits, sign)} to {number(high, digits, sign)}"


def p_text(p_value: float) -> str:
    """0.0312 -> "p = 0.031"."""
    return "p < 0.001" if p_value < 0.0005 else f"p = {p_value:.3f}"
