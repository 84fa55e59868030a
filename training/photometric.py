"""Whole-picture colour edits computed on pixels, for pictures that have no scene behind them."""
import numpy as np


def luma(a):
    return a @ np.array([0.2126, 0.7152, 0.0722], np.float32)


def apply(name, a):
    """The edit `name` on a float picture [h, w, 3] in 0..1; returns the same shape, clipped."""
    y = luma(a)[..., None]
    if name == "warmer":
        a = a * np.array([1.14, 1.02, 0.80], np.float32)
    elif name == "cooler":
        a = a * np.array([0.82, 0.98, 1.16], np.float32)
    elif name == "brighter":
        a = 1 - (1 - a) ** 1.45
    elif name == "darker":
        a = a**1.25 * 0.68
    elif name == "contrast":
        a = 0.5 + (a - 0.5) * 1.45
    elif name == "saturated":
        a = y + (a - y) * 1.7
    elif name == "faded":
        a = (y + (a - y) * 0.55) * 0.72 + 0.2
    elif name == "black and white":
        a = np.repeat(y, 3, -1)
    elif name == "vintage":
        a = (0.75 * y + 0.25 * a) * np.array([0.92, 0.80, 0.62], np.float32) + np.array([0.08, 0.06, 0.04], np.float32)
    else:
        raise ValueError(f"no photometric edit called {name}")
    return np.clip(a, 0, 1)


NAMES = ["warmer", "cooler", "brighter", "darker", "contrast", "saturated", "faded", "black and white", "vintage"]
