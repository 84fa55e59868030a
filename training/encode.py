"""Encodes picture shards into latents once: `images-N.npy` -> `latents-N.npz` with `full` (32x32) and `half` (16x16).

`half` is the picture at half its size, on which the editor learns what an instruction means at a quarter of the cost;
of pictures of 128 pixels it is the picture itself. `full = false` leaves out the 32x32 latents, `half = false` the others.
"""
import glob
import os

import numpy as np
import torch

from common import read_config
from vae import load


def views(x, cfg):
    """The pictures [n, 3, s, s] at the sizes whose latents are wanted."""
    if x.shape[-1] <= 128:
        return {"half": x}
    out = {"half": torch.nn.functional.avg_pool2d(x, 2)} if cfg.get("half", True) else {}
    return out | ({"full": x} if cfg.get("full", True) else {})


def main():
    cfg = read_config()
    vae = load(cfg["vae"], cfg).eval()
    for path in sorted(glob.glob(cfg["images"])):
        folder, name = os.path.split(path)
        out = f"{folder}/{name.replace('images-', 'latents-').replace('.npy', '.npz')}"
        if os.path.exists(out):
            continue
        images = np.load(path, mmap_mode="r")
        parts = {}
        for i in range(0, len(images), 16):
            x = torch.from_numpy(np.array(images[i : i + 16])).permute(0, 3, 1, 2).float() / 127.5 - 1
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                for key, v in views(x, cfg).items():
                    parts.setdefault(key, []).append(vae.encode(v).latent_dist.mode().half().numpy())
        np.savez(out + ".part.npz", **{k: np.concatenate(v) for k, v in parts.items()})
        os.replace(out + ".part.npz", out)
        z = np.concatenate(next(iter(parts.values()))).astype(np.float32)
        print(out, len(images), "mean", z.mean((0, 2, 3)).round(3), "std", z.std((0, 2, 3)).round(3), flush=True)


if __name__ == "__main__":
    main()
