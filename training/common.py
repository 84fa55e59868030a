"""Shared pieces of every training run: configuration, optimiser, weight averaging, checkpoints, loss curve.

Every run is `python training/NAME.py training/configs/NAME.toml`. A run writes `state.pt` into its folder every few
minutes and goes on from there when it is started again.
"""
import json
import os
import sys
import time
import tomllib

import numpy as np
import torch
from PIL import Image, ImageDraw


def read_config(path=None):
    """The run's TOML as a dictionary; `key=value` arguments after the file override single entries."""
    path = path or sys.argv[1]
    with open(path, "rb") as f:
        cfg = tomllib.load(f)
    for arg in sys.argv[2:]:
        key, value = arg.split("=", 1)
        try:
            value = json.loads(value)
        except ValueError:
            pass
        cfg[key] = value
    os.makedirs(cfg["out"], exist_ok=True)
    torch.set_num_threads(cfg.get("threads", 1))
    torch.manual_seed(cfg["seed"])
    return cfg


def orthogonalise(g, steps=3):
    """Nearest semi-orthogonal matrix to `g` [rows, cols] by Newton-Schulz iteration (the Muon update)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        y = x @ x.T
        x = a * x + (b * y + c * (y @ y)) @ x
    return (x.T if tall else x).float()


class Muon:
    """Muon for the matrices and kernels inside a network, AdamW for everything else.

    Needs clearly fewer steps than AdamW alone, which matters where a step costs half a second.
    """

    def __init__(self, named, lr_muon, lr_adam, weight_decay=0.0, adam_names=("conv_in", "conv_out", "embed", "lm_head")):
        self.matrices, others = [], []
        for name, p in named:
            if p.ndim >= 2 and min(p.shape[0], p[0].numel()) >= 16 and not any(a in name for a in adam_names):
                self.matrices.append(p)
            else:
                others.append(p)
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.adam = torch.optim.AdamW(others, lr=lr_adam, betas=(0.9, 0.98), weight_decay=0.0)
        self.params = self.matrices + others
        self.lr_muon, self.lr_adam, self.weight_decay = lr_muon, lr_adam, weight_decay

    def step(self, factor):
        """One update with both learning rates times `factor`."""
        torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        with torch.no_grad():
            for p, m in zip(self.matrices, self.momentum):
                if p.grad is None:
                    continue
                m.lerp_(p.grad, 0.05)
                g = p.grad.lerp(m, 0.95).reshape(p.shape[0], -1)
                update = orthogonalise(g).reshape(p.shape)
                if self.weight_decay:
                    p.mul_(1 - self.lr_muon * factor * self.weight_decay)
                p.add_(update, alpha=-self.lr_muon * factor * max(1.0, p.shape[0] / p[0].numel()) ** 0.5)
        for group in self.adam.param_groups:
            group["lr"] = self.lr_adam * factor
        self.adam.step()
        for p in self.params:
            p.grad = None

    def state_dict(self):
        return {"momentum": self.momentum, "adam": self.adam.state_dict()}

    def load_state_dict(self, state):
        for m, saved in zip(self.momentum, state["momentum"]):
            m.copy_(saved)
        self.adam.load_state_dict(state["adam"])


class Average:
    """Exponential moving average of all parameters, with a short memory at the start of a run."""

    def __init__(self, modules, decay):
        self.params = [p for m in modules for p in m.parameters()]
        self.mean = [p.detach().clone() for p in self.params]
        self.decay, self.count = decay, 0

    def update(self):
        self.count += 1
        d = min(self.decay, (1 + self.count) / (10 + self.count))
        with torch.no_grad():
            torch._foreach_lerp_(self.mean, [p.detach() for p in self.params], 1 - d)

    def swap(self):
        """Exchanges averaged and live weights; calling it twice restores both."""
        with torch.no_grad():
            for p, m in zip(self.params, self.mean):
                keep = p.detach().clone()
                p.copy_(m)
                m.copy_(keep)

    def state_dict(self):
        return {"mean": self.mean, "count": self.count}

    def load_state_dict(self, state):
        for m, saved in zip(self.mean, state["mean"]):
            m.copy_(saved)
        self.count = state["count"]


def schedule(progress, warm=0.02, tail=0.35):
    """Learning-rate factor for progress 0..1: linear warm-up, constant, linear decay over the last `tail`."""
    if progress < warm:
        return 0.05 + 0.95 * progress / warm
    return max(0.02, min(1.0, (1 - progress) / tail))


class Log:
    """Loss record of a run: one JSON line a report, and the curve as a small PNG."""

    def __init__(self, out, name):
        self.path, self.png, self.name = f"{out}/log.jsonl", f"{out}/{name}-loss.png", name
        self.sums, self.n, self.began = {}, 0, time.time()

    def add(self, **values):
        self.n += 1
        for k, v in values.items():
            self.sums[k] = self.sums.get(k, 0.0) + float(v)

    def report(self, step, **extra):
        row = {"step": step, "seconds": round(time.time() - self.began, 1)}
        row |= {k: round(v / max(self.n, 1), 5) for k, v in self.sums.items()} | extra
        with open(self.path, "a") as f:
            f.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
        self.sums, self.n = {}, 0
        rows = [json.loads(line) for line in open(self.path)]
        draw_curve(rows, "loss", self.png, self.name)


def draw_curve(rows, key, path, title):
    """The value `key` of the log rows over steps, logarithmic, as a 480x240 PNG."""
    points = [(r["step"], r[key]) for r in rows if r.get(key, 0) > 0]
    if len(points) < 2:
        return
    x = np.array([p[0] for p in points], float)
    y = np.log10([p[1] for p in points])
    lo, hi = y.min() - 0.02, y.max() + 0.02
    image = Image.new("RGB", (480, 240), (250, 250, 250))
    d = ImageDraw.Draw(image)
    px = 50 + (x - x.min()) / max(x.max() - x.min(), 1) * 415
    py = 215 - (y - lo) / (hi - lo) * 190
    d.rectangle((50, 25, 465, 215), outline=(180, 180, 180))
    d.line(list(zip(px.tolist(), py.tolist())), fill=(30, 90, 200), width=2)
    d.text((50, 6), f"{title}: {key}, last {points[-1][1]:.4g} at step {points[-1][0]}", fill=(20, 20, 20))
    d.text((4, 20), f"{10 ** hi:.3g}", fill=(90, 90, 90))
    d.text((4, 208), f"{10 ** lo:.3g}", fill=(90, 90, 90))
    image.save(path)


def save_whole(value, path):
    """torch.save through a temporary file, so that a stopped run never leaves half a checkpoint."""
    torch.save(value, path + ".part")
    os.replace(path + ".part", path)
