"""Whole-picture colour edits computed on pixels: the world's own grades, for pictures that have no scene behind them.

`python training/photometric.py OUT_FOLDER SIZE SEED META_PATTERN PICTURES.npy...` writes edit pairs of the pictures in the
world's dataset form; the instructions are those that the world's descriptions matching META_PATTERN use.
"""
import glob
import json
import os
import sys

import numpy as np


def luma(a):
    return (a @ np.array([0.30, 0.59, 0.11], np.float32))[..., None]


def vignette(height, width):
    """Darkening towards the corners, [h, w, 1]."""
    y, x = np.mgrid[0:height, 0:width]
    t = np.clip((np.hypot(x / width - 0.5, y / height - 0.5) - 0.38) / 0.37, 0, 1)
    return (1 - 0.42 * t * t * (3 - 2 * t))[..., None].astype(np.float32)


def apply(name, a):
    """The grade `name` on a float picture [h, w, 3] in 0..1; returns the same shape, clipped."""
    if name == "warmer":
        a = a * [1.09, 1.0, 0.82] + [0.02, 0.004, 0]
    elif name == "cooler":
        a = a * [0.83, 0.98, 1.08] + [0, 0, 0.03]
    elif name == "brighter":
        a = a**0.72 * 1.03 + 0.02
    elif name == "darker":
        a = a**1.25 * 0.66
    elif name == "contrast":
        steep = a * a * (3 - 2 * a)
        a = 0.15 * a + 0.45 * steep + 0.40 * steep * steep * (3 - 2 * steep)
    elif name == "saturated":
        a = luma(a) + (a - luma(a)) * 1.65
    elif name == "faded":
        a = (luma(a) + (a - luma(a)) * 0.55) * 0.72 + [0.19, 0.18, 0.18]
    elif name == "monochrome":
        a = np.repeat(luma(a), 3, -1)
    elif name == "vintage":
        sepia = luma(a) * [1.05, 0.90, 0.66] + [0.06, 0.035, 0.02]
        a = ((a * 0.28 + sepia * 0.72) * 0.90 + [0.05, 0.04, 0.02]) * vignette(*a.shape[:2])
    else:
        raise ValueError(f"no photometric edit called {name}")
    return np.clip(a, 0, 1).astype(np.float32)


def wordings(pattern):
    """Training and held-out instructions of every grade in the world's descriptions: name -> (texts, heldout)."""
    found = {}
    for path in sorted(glob.glob(pattern)):
        for line in open(path):
            for e in json.loads(line)["edits"]:
                if e["kind"] == "grade":
                    texts, heldout = found.setdefault(e["name"].split("/")[1], (set(), set()))
                    texts.update(e["texts"]), heldout.update(e["heldout"])
    return {k: (sorted(t), sorted(h)) for k, (t, h) in found.items()}


def main():
    out, size, seed, pattern = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    os.makedirs(out, exist_ok=True)
    rng, words = np.random.default_rng(seed), wordings(pattern)
    for shard, path in enumerate(sys.argv[5:]):
        rows, lines = [], []
        for picture in np.load(path, mmap_mode="r"):
            y, x = (rng.integers(picture.shape[i] - size + 1) for i in (0, 1))
            a = np.asarray(picture[y : y + size, x : x + size], np.float32) / 255
            scene = {"source": len(rows), "edits": []}
            rows.append((a * 255 + 0.5).astype(np.uint8))
            for name in rng.choice(sorted(words), 3, replace=False):
                texts, heldout = words[name]
                scene["edits"].append({"kind": "grade", "name": f"grade/{name}", "row": len(rows), "texts": rng.choice(texts, 6).tolist(),
                                       "heldout": rng.choice(heldout, 1).tolist()})
                rows.append((apply(name, a) * 255 + 0.5).astype(np.uint8))
            lines.append(json.dumps(scene) + "\n")
        np.save(f"{out}/images-{shard:03}.npy", np.stack(rows))
        with open(f"{out}/meta-{shard:03}.jsonl", "w") as f:
            f.writelines(lines)


if __name__ == "__main__":
    main()
