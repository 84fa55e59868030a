"""Both token grids of every picture, once: `python training/ask_encode.py CONFIG [which=held]` writes low-*.npy and high-*.npy.

f16, `[n, 100, width]` and `[n, 1600, width]` (rows from the top): the tower's features before the projector.
"""
import glob
import os

import numpy as np
import torch
import torch.nn.functional as F

from ask_tiles import MEAN, STD
from ask_tower import Tower
from common import read_config


def tower_of(cfg):
    import tomllib

    with open(cfg["tower_config"], "rb") as f:
        shape = tomllib.load(f)
    tower = Tower(shape)
    tower.load_state_dict(torch.load(cfg["tower"], weights_only=True)["ema"])
    return tower.eval(), shape


def grids(tower, shape, zoom, images):
    """u8 [n, z*s, z*s, 3] -> low [n, g*g, w], high [n, z*g*z*g, w]: tiles stand alone, the low picture is an antialiased shrink."""
    s, g, n = shape["side"], shape["side"] // shape["patch"], len(images)
    pixels = torch.from_numpy(((np.asarray(images, np.float32) / 255 - MEAN) / STD)).permute(0, 3, 1, 2)
    low = F.interpolate(pixels, (s, s), mode="bilinear", antialias=True, align_corners=False)
    tiles = pixels.reshape(n, 3, zoom, s, zoom, s).permute(0, 2, 4, 1, 3, 5).reshape(n * zoom * zoom, 3, s, s)
    out = torch.cat([tower(part) for part in torch.cat([low, tiles]).split(64)])
    high = out[n:].reshape(n, zoom, zoom, g, g, -1).permute(0, 1, 3, 2, 4, 5).reshape(n, (zoom * g) ** 2, -1)
    return out[:n], high


def main():
    cfg = read_config()
    tower, shape = tower_of(cfg)
    folder = cfg[cfg.get("which", "data")]
    for path in sorted(glob.glob(folder + "/images-*.npy")):
        target = path.replace("images-", "high-")
        if os.path.exists(target):
            continue
        images = np.load(path, mmap_mode="r")
        lows, highs = [], []
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            for i in range(0, len(images), 8):
                low, high = grids(tower, shape, cfg["zoom"], images[i : i + 8])
                lows.append(low.half().numpy())
                highs.append(high.half().numpy())
        np.save(path.replace("images-", "low-"), np.concatenate(lows))
        np.save(target + ".part.npy", np.concatenate(highs))
        os.replace(target + ".part.npy", target)
        print(path, flush=True)


if __name__ == "__main__":
    main()
