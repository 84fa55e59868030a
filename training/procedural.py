"""Procedural pictures with the statistics of photographs: dead leaves, 1/f textures, gradients, simple landscapes.

They widen what the VAE and the whole-scene edits have seen beyond the world's own renderings.
`python training/procedural.py OUT.npy COUNT SIZE SEED` writes u8 [count, size, size, 3].
"""
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def pink(rng, size, power):
    """1/f^power noise [size, size], zero mean, unit deviation."""
    f = np.fft.rfft2(rng.standard_normal((size, size)))
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    r = np.sqrt(fx * fx + fy * fy)
    r[0, 0] = 1.0
    f /= r**power
    f[0, 0] = 0
    n = np.fft.irfft2(f, s=(size, size))
    return (n / (n.std() + 1e-6)).astype(np.float32)


def colour(rng, vivid):
    """A random colour whose luminance varies much and whose chroma varies by `vivid` (photographs: about 0.1)."""
    luma = rng.beta(1.3, 1.5)
    a, b = rng.normal(0, vivid), rng.normal(0, vivid * 0.7)
    rgb = luma + np.array([a + 0.5 * b, b * 0.1 - 0.25 * a, -a * 0.9 - 0.4 * b])
    return tuple(int(v) for v in np.clip(rgb, 0, 1) * 255)


def gradient(rng, size, vivid):
    """Two colours blended along a random direction, float [size, size, 3] in 0..1."""
    c0, c1 = np.array(colour(rng, vivid)) / 255, np.array(colour(rng, vivid)) / 255
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    t = np.clip((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(0.7, 1.6) + 0.5, 0, 1)[..., None]
    return (c0 * (1 - t) + c1 * t).astype(np.float32)


def dead_leaves(rng, size):
    """Overlapping discs, boxes and triangles with power-law radii."""
    vivid = rng.choice([0.04, 0.1, 0.25])
    image = Image.fromarray((gradient(rng, size, vivid) * 255).astype(np.uint8))
    d = ImageDraw.Draw(image)
    palette = [colour(rng, vivid) for _ in range(rng.integers(4, 14))]
    for _ in range(int(rng.integers(30, 220))):
        r = size * min(0.4, 0.015 * rng.pareto(1.2) + 0.012)
        x, y = rng.uniform(0, size, 2)
        c = palette[rng.integers(len(palette))]
        c = tuple(int(np.clip(v + rng.normal(0, 10), 0, 255)) for v in c)
        kind = rng.integers(3)
        if kind == 0:
            d.ellipse((x - r, y - r * rng.uniform(0.5, 1.5), x + r, y + r), fill=c)
        else:
            a = rng.uniform(0, 2 * np.pi)
            n = 3 if kind == 1 else 4
            k = a + np.arange(n) * 2 * np.pi / n + rng.normal(0, 0.15, n)
            d.polygon([(x + r * np.cos(q), y + r * np.sin(q)) for q in k], fill=c)
    return np.asarray(image, np.float32) / 255


def landscape(rng, size):
    """Sky gradient, ridges, ground, boxes with gables and round trees: the layout of outdoor photographs."""
    top = np.array([rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.75), rng.uniform(0.5, 1.0)]) * rng.uniform(0.25, 1.05)
    low = np.array([rng.uniform(0.6, 1), rng.uniform(0.55, 0.95), rng.uniform(0.5, 1)]) * rng.uniform(0.4, 1)
    t = np.linspace(0, 1, size)[:, None, None] ** rng.uniform(0.6, 1.6)
    a = np.broadcast_to(top * (1 - t) + low * t, (size, size, 3)).astype(np.float32).copy()
    a += np.clip(pink(rng, size, 1.6) - 0.4, 0, 2)[..., None] * rng.uniform(0, 0.2)
    image = Image.fromarray((np.clip(a, 0, 1) * 255).astype(np.uint8))
    d = ImageDraw.Draw(image)
    horizon = size * rng.uniform(0.3, 0.7)
    xs = np.linspace(0, size, 24)
    for i in range(int(rng.integers(1, 4))):
        y = horizon - size * 0.06 * (2 - i) + np.cumsum(rng.normal(0, size * 0.02, 24))
        d.polygon([(0, size), *zip(xs, y), (size, size)], fill=colour(rng, 0.08))
    d.rectangle((0, horizon + size * 0.04, size, size), fill=colour(rng, 0.12))
    for _ in range(int(rng.integers(0, 9))):
        x, y = rng.uniform(0, size), rng.uniform(horizon, size * 0.95)
        s = size * rng.uniform(0.04, 0.16)
        if rng.random() < 0.5:
            wall, roof = colour(rng, 0.1), colour(rng, 0.25)
            d.rectangle((x, y - s, x + 1.3 * s, y), fill=wall)
            d.polygon([(x - 0.1 * s, y - s), (x + 0.65 * s, y - 1.7 * s), (x + 1.4 * s, y - s)], fill=roof)
            d.rectangle((x + 0.2 * s, y - 0.7 * s, x + 0.45 * s, y - 0.4 * s), fill=colour(rng, 0.2))
            d.rectangle((x + 0.8 * s, y - 0.6 * s, x + 1.05 * s, y), fill=colour(rng, 0.25))
        else:
            d.rectangle((x - 0.08 * s, y - s, x + 0.08 * s, y), fill=colour(rng, 0.05))
            d.ellipse((x - 0.6 * s, y - 2 * s, x + 0.6 * s, y - 0.6 * s), fill=colour(rng, 0.2))
    return np.asarray(image, np.float32) / 255


def picture(rng, size):
    """One procedural picture, u8 [size, size, 3]."""
    kind = rng.random()
    if kind < 0.35:
        a = dead_leaves(rng, size)
    elif kind < 0.85:
        a = landscape(rng, size)
    else:
        a = gradient(rng, size, 0.15)
        mix = np.stack([pink(rng, size, rng.uniform(0.8, 1.8)) for _ in range(2)], -1)
        a = a + mix[..., :1] * 0.15 + mix[..., 1:] * rng.normal(0, 0.06, 3)
    if rng.random() < 0.7:
        a = a * (1 + rng.uniform(0, 0.15) * pink(rng, size, rng.uniform(0.3, 1.3))[..., None])
    if rng.random() < 0.5:
        a = a * (0.55 + 0.75 * gradient(rng, size, 0.02).mean(-1, keepdims=True))
    if rng.random() < 0.3:
        a = a ** rng.uniform(0.6, 1.6) if a.min() >= 0 else a
    image = Image.fromarray((np.clip(a, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5)))
    return np.asarray(image)


def main():
    out, count, size, seed = sys.argv[1], *map(int, sys.argv[2:5])
    rng = np.random.default_rng(seed)
    np.save(out, np.stack([picture(rng, size) for _ in range(count)]))


if __name__ == "__main__":
    main()
