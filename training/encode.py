"""Encodes picture shards into latents once: `images-N.npy` -> `latents-N.npz` with `full` (32x32) and `half` (16x16).

`half` is the picture at half its size, on which the editor learns what an instruction means at a quarter of the cost.
"""
import glob
import os
import sys

import numpy as np
import torch

from common import read_config
from vae import build


def main():
    cfg = read_config()
    vae = build(cfg)
    vae.load_state_dict(torch.load(cfg["vae"], weights_only=True)["ema"])
    vae.eval()
    for path in sorted(glob.glob(cfg["images"])):
        folder, name = os.path.split(path)
        out = f"{folder}/{name.replace('images-', 'latents-').replace('.npy', '.npz')}"
        if os.path.exists(out):
            continue
        images = np.load(path, mmap_mode="r")
        parts = {"full": [], "half": []}
        for i in range(0, len(images), 8):
            x = torch.from_numpy(np.array(images[i : i + 8])).permute(0, 3, 1, 2).float() / 127.5 - 1
            views = {"half": torch.nn.functional.avg_pool2d(x, 2)}
            if cfg.get("full", True):
                views["full"] = x
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                for key, v in views.items():
                    parts[key].append(vae.encode(v).latent_dist.mode().half().numpy())
        np.savez(out + ".part.npz", **{k: np.concatenate(v) for k, v in parts.items() if v})
        os.replace(out + ".part.npz", out)
        z = np.concatenate(parts["half"]).astype(np.float32)
        print(out, len(images), "mean", z.mean((0, 2, 3)).round(3), "std", z.std((0, 2, 3)).round(3), flush=True)


if __name__ == "__main__":
    main()
