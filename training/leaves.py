"""Overlapping textured shapes with the number of the shape at every pixel: what belongs together in a photograph-like picture.

`python training/leaves.py OUT COUNT SIZE SEED` writes OUT-images.npy, u8 [count, size, size, 3], and OUT-object.npy, u16
[count, size, size]. Each shape has a texture, colours and shading of its own; light and blur lie over all of them.
"""
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from procedural import colour, gradient, pink

SIDE = 512


def textures(rng, count):
    """Grey textures [count, SIDE, SIDE] with unit deviation: noise of many roughnesses, stripes, and spots."""
    bank = []
    for i in range(count):
        t = pink(rng, SIDE, rng.uniform(0.1, 1.7))
        kind = i % 4
        if kind == 1:  # stripes, bent by noise
            y, x = np.mgrid[0:SIDE, 0:SIDE]
            angle, period = rng.uniform(0, np.pi), rng.uniform(5, 30)
            t = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period + rng.uniform(0, 2) * pink(rng, SIDE, 1.6))
        elif kind == 2:  # spots
            t = np.tanh(3 * (pink(rng, SIDE, 1.0) - rng.uniform(0, 1)))
        t = t.astype(np.float32)
        bank.append((t - t.mean()) / (t.std() + 1e-6))
    return np.stack(bank)


def shape(rng, size, r):
    """A mask [size, size] of an ellipse, polygon, or wobbly outline of about radius `r`."""
    mask = Image.new("L", (size, size))
    x, y = rng.uniform(0, size, 2)
    n = int(rng.choice([3, 4, 5, 24]))
    angles = rng.uniform(0, 2 * np.pi) + np.arange(n) * 2 * np.pi / n
    stretch = rng.uniform(0.4, 1)
    radius = r * (1 + (0.25 * np.cumsum(rng.normal(0, 0.5, n)) / np.sqrt(n) if n == 24 else rng.normal(0, 0.12, n)))
    turn = rng.uniform(0, np.pi)
    u, v = radius * np.cos(angles), stretch * radius * np.sin(angles)
    points = zip(x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn))
    ImageDraw.Draw(mask).polygon(list(points), fill=255)
    return np.asarray(mask) > 0


def filling(rng, size, bank, vivid):
    """A colour with texture and shading, float [size, size, 3]."""
    t = bank[rng.integers(len(bank))]
    y, x = rng.integers(0, SIDE - size + 1, 2)
    t = t[y : y + size, x : x + size][..., None]
    base = np.array(colour(rng, vivid)) / 255
    if rng.random() < 0.3:
        base = gradient(rng, size, vivid)
    other = np.array(colour(rng, vivid)) / 255
    mix = np.clip(0.5 + 0.5 * t * rng.uniform(0.2, 1), 0, 1) * rng.uniform(0, 0.6)
    return (base * (1 - mix) + other * mix) * (1 + rng.uniform(0, 0.12) * t)


def picture(rng, size, bank):
    """One picture u8 [size, size, 3] and its shapes u16 [size, size]."""
    vivid = rng.choice([0.05, 0.12, 0.25])
    image, ids = filling(rng, size, bank, vivid).astype(np.float32), np.zeros((size, size), np.uint16)
    kinds = [filling(rng, size, bank, vivid) for _ in range(rng.integers(4, 10))]
    for number in range(1, int(rng.integers(6, 34))):
        mask = shape(rng, size, size * min(0.45, 0.06 + 0.05 * rng.pareto(1.5)))
        kind = int(rng.integers(len(kinds)))
        image[mask] = kinds[kind][mask]
        ids[mask] = 1 + kind  # shapes of one filling are one thing
    image *= 0.6 + 0.7 * gradient(rng, size, 0.02).mean(-1, keepdims=True)
    out = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.6:
        out = out.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.3)))
    return np.asarray(out), ids


def main():
    out, count, size, seed = sys.argv[1], *map(int, sys.argv[2:5])
    rng = np.random.default_rng(seed)
    bank = textures(rng, 32)
    images, ids = zip(*(picture(rng, size, bank) for _ in range(count)))
    np.save(out + "-object.npy", np.stack(ids))
    np.save(out + "-images.npy", np.stack(images))


if __name__ == "__main__":
    main()
