"""Trains the starter depth head: distances from the starter backbone's patch tokens, which stay as they are.

    python training/depth.py training/configs/depth.toml

Three convolutions over the tokens [n, 192, g, g] and the mean colours of quarter patches [n, 12, g, g] tell 4 × 4 points a
patch: the log of distance along the view times the tangent of half the field of view, so that a crop does not contradict
the whole, and whether there is a surface (or sky). Writes the published layout: `config.json`, `model.safetensors` (fp16).
Distances are those of a camera without zoom: a picture tells no scale, and the synthetic world gives it one.
"""
import json
import os
import time

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from common import read_config
from dense import PATCH, POINTS, Scenes, jitter, normalise, window

LAYOUT = "glassbox-depth-head"


class DepthHead(nn.Module):
    """[n, width, g, g] tokens and [n, 3, 14 g, 14 g] normalised pixels to log distances and surface logits [n, 4 g, 4 g]."""

    def __init__(self, width, hidden):
        super().__init__()
        self.conv_in = nn.Conv2d(width + 12, hidden, 3, padding=1)
        self.conv_mid = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv_out = nn.Conv2d(hidden, 2 * POINTS * POINTS, 1)

    def forward(self, tokens, pixels):
        colours = F.pixel_unshuffle(F.avg_pool2d(pixels, PATCH // 2), 2)
        x = F.gelu(self.conv_in(torch.cat([tokens, colours], 1)))
        x = F.gelu(self.conv_mid(x))
        return F.pixel_shuffle(self.conv_out(x), POINTS).unbind(1)


def backbone(folder):
    with open(folder + "/config.json") as f:
        config = json.load(f)
    vit = timm.create_model(config["architecture"], **config["model_args"])
    vit.load_state_dict({k: v.float() for k, v in load_file(folder + "/model.safetensors").items()})
    return vit.eval().requires_grad_(False)


def tokens_of(vit, pixels):
    grid = pixels.shape[-1] // PATCH
    with torch.no_grad():
        tokens = vit.forward_features(pixels)[:, vit.num_prefix_tokens :]
    return tokens.transpose(1, 2).unflatten(2, (grid, grid))


def cut(arrays, row, half_tan, box, grid, flip):
    """Pixels u8 [3, t, t] of a crop, and log distance and surface of its 4 × 4 points a patch."""
    x, y, s = box
    t = grid * PATCH
    image = Image.fromarray(np.asarray(arrays["images"][row])).resize((t, t), Image.BILINEAR, box=(x, y, x + s, y + s))
    image = np.asarray(image)
    at = (np.arange(grid * POINTS) + 0.5) * s / (grid * POINTS)
    depth = np.asarray(arrays["depth"][row])[(y + at).astype(int)[:, None], (x + at).astype(int)[None]].astype(np.float32)
    if flip:
        image, depth = image[:, ::-1], depth[:, ::-1]
    log = np.log(np.maximum(depth, 0.1) * half_tan * s / arrays["images"].shape[1])
    return np.array(image.transpose(2, 0, 1)), log.astype(np.float32), np.array(depth > 0)


class Crops:
    def __init__(self, pattern, seed):
        self.scenes, self.rng = Scenes(pattern), np.random.default_rng(seed)

    def batch(self, count, grid, smallest):
        out = []
        for _ in range(count):
            arrays, row, half_tan = self.scenes.two_views(self.rng)[0]
            out.append(cut(arrays, row, half_tan, window(self.rng, arrays["images"].shape[1], smallest), grid, self.rng.random() < 0.5))
        return [torch.from_numpy(np.stack(part)) for part in zip(*out)]

    def held(self, count, grid):
        self.scenes.refresh()
        shard = self.scenes.shards[0]
        facts = [f for m in shard["meta"] for f in m["rows"]]
        side = shard["images"].shape[1]
        out = [cut(shard, r, facts[r]["half_tan"], (0, 0, side), grid, False) for r in range(0, min(2 * count, len(facts)), 2)]
        return [torch.from_numpy(np.stack(part)) for part in zip(*out)]


def errors(head, vit, images, log, surface):
    """Over whole unseen pictures: RMSE of the log, mean relative error, share within a quarter, accuracy of the surface."""
    pixels = normalise(images)
    with torch.no_grad():
        parts = [head(tokens_of(vit, p), p) for p in pixels.split(8)]
    found, there = (torch.cat(part) for part in zip(*parts))
    off = (found - log)[surface]
    ratio = off.exp()
    return {"held_log_rmse": round(off.square().mean().sqrt().item(), 4), "held_relative": round((ratio - 1).abs().mean().item(), 4),
            "held_within_quarter": round((off.abs() < np.log(1.25)).float().mean().item(), 4),
            "held_surface": round(((there > 0) == surface).float().mean().item(), 4)}


def main():
    cfg = read_config()
    vit = backbone(cfg["backbone"])
    head = DepthHead(vit.embed_dim, cfg["hidden"])
    crops = Crops(cfg["scenes"], cfg["seed"])
    held = Crops(cfg["held"], 0).held(100, cfg["check_grid"])
    generator = torch.Generator().manual_seed(cfg["seed"])
    optimiser = torch.optim.AdamW(head.parameters(), cfg["lr"], weight_decay=cfg["weight_decay"])
    average = {k: v.clone() for k, v in head.state_dict().items()}
    began, step, kept = time.time(), 0, []
    # The backbone does not change, so each crop goes through it once.
    while len(kept) * cfg["crops_at_a_time"] < cfg["crops"] and time.time() - began < 30 * cfg["minutes"]:
        images, log, surface = crops.batch(cfg["crops_at_a_time"], cfg["grid"], cfg["smallest_crop"])
        pixels = jitter(images, generator)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cfg["half"]):
            tokens = tokens_of(vit, pixels)
        kept.append((tokens.half(), pixels.half(), log, surface))
    kept = [torch.cat(part) for part in zip(*kept)]
    seen, sums, reported = len(kept[0]), [], 0.0
    print("crops", seen, "seconds", round(time.time() - began), flush=True)
    began_steps = time.time()
    seconds = 60 * cfg["minutes"] - (began_steps - began)
    while (progress := (time.time() - began_steps) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = cfg["lr"] * min(1, (step + 1) / 50, 2 * (1 - progress) + 0.01)
        chosen = torch.randint(seen, (cfg["batch"],), generator=generator)
        tokens, pixels, log, surface = (part[chosen] for part in kept)
        if step % 2:
            tokens, pixels, log, surface = (part.flip(-1) for part in (tokens, pixels, log, surface))
        found, there = head(tokens.float(), pixels.float())
        near = F.smooth_l1_loss(found, log, reduction="none", beta=0.1)
        loss = (near * surface).sum() / surface.sum().clamp(min=1) + 0.2 * F.binary_cross_entropy_with_logits(there, surface.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for name, value in head.state_dict().items():
                average[name].lerp_(value, 1 - min(0.99, step / (step + 10)))
        step += 1
        sums.append(loss.item())
        if time.time() - reported > 60:
            reported = time.time()
            print(step, round(progress, 3), round(float(np.mean(sums[-50:])), 4), flush=True)
    head.load_state_dict(average)
    halved = {k: v.half().contiguous() for k, v in head.state_dict().items()}
    head.load_state_dict({k: v.float() for k, v in halved.items()})
    scores = errors(head, vit, *held)
    print("steps", step, "crops", seen, scores)
    os.makedirs(cfg["out"], exist_ok=True)
    save_file(halved, cfg["out"] + "/model.safetensors", metadata={"format": "pt"})
    with open(cfg["out"] + "/config.json", "w") as f:
        json.dump({"layout": LAYOUT, "backbone": cfg["published_backbone"], "width": vit.embed_dim, "hidden": cfg["hidden"], "patch": PATCH,
                   "points": POINTS, "steps": step, "crops": seen, **scores}, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
