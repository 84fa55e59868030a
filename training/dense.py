"""Batches for the backbone: crops of rendered scenes and of textured shapes with what lies under every patch.

Reads what `glassbox world --dense` and `training/leaves.py` write. A sample is two crops of one scene (other view, other
season, hour, weather, paint), or two crops of one picture of shapes, so that what is the same thing in both is known.
"""
import glob
import json
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

PATCH = 14
CLASSES = 18
SKY = 65535
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
POINTS = 4  # labels are read at 4x4 points a patch


class Scenes:
    """Shards of scenes; those that appear during a run are taken in."""

    def __init__(self, pattern):
        self.pattern, self.shards, self.names, self.seen = pattern, [], set(), 0.0

    def refresh(self):
        if time.time() - self.seen < 20:
            return
        self.seen = time.time()
        for path in sorted(glob.glob(self.pattern)):
            if path not in self.names:
                self.names.add(path)
                load = lambda name: np.load(path.replace("images-", name + "-"), mmap_mode="r")
                meta = [json.loads(line) for line in open(path.replace("images-", "meta-").replace(".npy", ".jsonl"))]
                self.shards.append({k: load(k) for k in ("images", "class", "depth", "normals", "object")} | {"meta": meta})
                print("scenes from", path, flush=True)

    def count(self):
        return sum(len(s["meta"]) for s in self.shards)

    def two_views(self, rng):
        """Two different pictures of one scene, as (shard, row, tangent of half the field of view)."""
        self.refresh()
        shard = self.shards[rng.choice(len(self.shards), p=np.array([len(s["meta"]) for s in self.shards]) / self.count())]
        scene = int(rng.integers(len(shard["meta"])))
        facts = shard["meta"][scene]["rows"]
        first, second = rng.choice(len(facts), 2, replace=False)
        return [(shard, scene * len(facts) + int(i), facts[i]["half_tan"]) for i in (first, second)]


def window(rng, side, smallest):
    """Left, top and side of a random square crop."""
    s = side * rng.uniform(smallest, 1) if rng.random() < 0.75 else side
    x, y = rng.uniform(0, side - s, 2)
    return x, y, s


def cut(arrays, row, half_tan, box, grid, flip):
    """Pixels of a crop, u8 [3, t, t], and its labels by patch."""
    x, y, s = box
    t = grid * PATCH
    image = Image.fromarray(np.asarray(arrays["images"][row])).resize((t, t), Image.BILINEAR, box=(x, y, x + s, y + s))
    image = np.asarray(image)
    at = (np.arange(grid * POINTS) + 0.5) * s / (grid * POINTS)
    rows, cols = (y + at).astype(int), (x + at).astype(int)
    if flip:
        image, cols = image[:, ::-1], cols[::-1]
    points = lambda name: np.asarray(arrays[name][row])[rows[:, None], cols[None]]
    by_patch = lambda a: a.reshape(grid, POINTS, grid, POINTS, -1).transpose(0, 2, 1, 3, 4).reshape(grid * grid, POINTS * POINTS, -1)
    objects = by_patch(points("object"))[..., 0]
    scene = "class" in arrays
    classes = by_patch(points("class"))[..., 0] if scene else np.zeros_like(objects)
    # What the patch mostly shows: one class of one object. The share that agrees tells whether it is an edge.
    thing = objects.astype(np.int64) * 32 + classes
    middle = np.sort(thing, 1)[:, POINTS * POINTS // 2]
    share = (thing == middle[:, None]).mean(1)
    out = {"image": np.array(image.transpose(2, 0, 1)), "thing": middle, "share": share.astype(np.float32), "scene": np.float32(scene)}
    n = grid * grid
    if scene:
        out["classes"] = (classes[..., None] == np.arange(CLASSES)).mean(1).astype(np.float32)
        depth = by_patch(points("depth"))[..., 0].astype(np.float32)
        solid = (depth > 0).sum(1)
        # Distance as a camera of one field of view would have it, so that a crop does not contradict the whole.
        log = np.where(depth > 0, np.log(np.maximum(depth, 0.1) * half_tan * s / arrays["images"].shape[1]), 0).sum(1)
        out["depth"], out["solid"] = (log / np.maximum(solid, 1)).astype(np.float32), (solid > POINTS * POINTS / 2).astype(np.float32)
        normals = by_patch(points("normals")).astype(np.float32).mean(1) / 127
        if flip:
            normals[:, 0] *= -1
        out["normals"] = normals
    else:
        out |= {"classes": np.zeros((n, CLASSES), np.float32), "depth": np.zeros(n, np.float32), "solid": np.zeros(n, np.float32), "normals": np.zeros((n, 3), np.float32)}
    return out


class Batches:
    def __init__(self, cfg, seed):
        self.cfg, self.rng = cfg, np.random.default_rng(seed)
        self.scenes = Scenes(cfg["scenes"])
        self.leaves = {"images": np.load(cfg["leaves"] + "-images.npy", mmap_mode="r"), "object": np.load(cfg["leaves"] + "-object.npy", mmap_mode="r")}
        self.scenes.refresh()

    def batch(self, pairs, grid):
        """Labels [2 * pairs, ...]; neighbours show the same scene or the same shapes."""
        rng, out = self.rng, []
        for _ in range(pairs):
            if rng.random() < self.cfg["leaves_share"]:
                row = int(rng.integers(len(self.leaves["images"])))
                views = [(self.leaves, row, 1.0)] * 2
            else:
                views = self.scenes.two_views(rng)
            for arrays, row, half_tan in views:
                box = window(rng, arrays["images"].shape[1], self.cfg["smallest_crop"])
                out.append(cut(arrays, row, half_tan, box, grid, rng.random() < 0.5))
        return {k: torch.from_numpy(np.stack([o[k] for o in out])) for k in out[0]}

    def held(self, count, grid):
        """Whole pictures without changes, every other one of them."""
        self.scenes.refresh()
        shard = self.scenes.shards[0]
        facts = [f for m in shard["meta"] for f in m["rows"]]
        rows = range(0, min(2 * count, len(facts)), 2)
        out = [cut(shard, r, facts[r]["half_tan"], (0, 0, shard["images"].shape[1]), grid, False) for r in rows]
        return {k: torch.from_numpy(np.stack([o[k] for o in out])) for k in out[0]}


def normalise(images):
    return (images.float() / 255 - MEAN) / STD


def jitter(images, generator):
    """u8 [n, 3, t, t] with other exposure, contrast, gamma, saturation, tint and noise; f32 normalised."""
    n = len(images)
    u = lambda low, high, *shape: low + (high - low) * torch.rand(n, *(shape or (1,)), 1, 1, generator=generator)
    x = images.float() / 255
    x = x.clamp(1e-3, 1) ** torch.exp(u(-0.4, 0.4))
    grey = x.mean(1, keepdim=True)
    saturation = torch.where(u(0, 1) < 0.06, torch.zeros(n, 1, 1, 1), u(0.4, 1.5))
    x = grey + saturation * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + u(0.6, 1.4) * (x - mean)
    x = x * u(0.65, 1.35) * torch.exp(u(-0.13, 0.13, 3)) + u(-0.05, 0.05)
    x = x + u(0, 0.04) * torch.randn(x.shape, generator=generator)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = torch.where(u(0, 1) < 0.2, blurred, x)
    return (x.clamp(0, 1) - MEAN) / STD
