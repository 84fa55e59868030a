"""Trains the starter backbone: a small vision transformer in DINOv2's layout (timm), with linear heads on its patches.

The heads tell class, distance, normal, colour and edges of what a patch shows. A contrastive term draws patches of one
thing together, across views, seasons, hours and weathers of a scene and across crops of textured shapes, and pushes
patches of other classes apart. The heads are thrown away; what counts is the features.
"""
import json
import os
import time

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from common import Average, Log, Muon, read_config, save_whole, schedule
from dense import CLASSES, PATCH, Batches, jitter, normalise

ARCHITECTURE = "vit_small_patch14_dinov2"


def model_args(cfg):
    return {"img_size": [cfg["native"], cfg["native"]], "embed_dim": cfg["width"], "depth": cfg["depth"], "num_heads": cfg["heads"],
            "init_values": cfg["layer_scale"], "dynamic_img_size": True, "num_classes": 0}


def build(cfg):
    return timm.create_model(ARCHITECTURE, **model_args(cfg))


class Heads(nn.Module):
    """Linear readings of a patch: classes, log distance, normal, mean colour, share of the main thing; and an embedding."""

    def __init__(self, width):
        super().__init__()
        self.embed_read = nn.Linear(width, CLASSES + 1 + 3 + 3 + 1)
        self.embed_thing = nn.Linear(width, 64)

    def forward(self, tokens):
        return self.embed_read(tokens).split([CLASSES, 1, 3, 3, 1], -1), self.embed_thing(tokens)


def contrast(embedding, thing, share, generator, temperature, count=224):
    """Patches of one thing in the two pictures of a pair against those of other classes. [2p, n, 64], [2p, n], [2p, n]."""
    pairs = len(embedding) // 2
    e, t, s = (v.reshape(pairs, -1, *v.shape[2:]) for v in (embedding, thing, share))
    pick = torch.multinomial((s > 0.6) + 1e-6, min(count, t.shape[1]), generator=generator)
    e = F.normalize(e.gather(1, pick[..., None].expand(-1, -1, e.shape[-1])), dim=-1)
    t, s = t.gather(1, pick), s.gather(1, pick)
    same = t[:, :, None] == t[:, None]
    self_ = torch.eye(t.shape[1], dtype=torch.bool)
    shapes = (t < 0).all(1)[:, None, None]
    kind = t % 32
    other = torch.where(shapes, ~same, kind[:, :, None] != kind[:, None])
    logits = e @ e.transpose(1, 2) / temperature
    negatives = logits.masked_fill(~other, -1e4).logsumexp(-1, keepdim=True)
    loss = F.softplus(negatives - logits)
    positive = (same & ~self_).float()
    each = (loss * positive).sum(-1) / positive.sum(-1).clamp(min=1)
    weight = ((positive.sum(-1) > 0) & (s > 0.6)).float()
    return (each * weight).sum() / weight.sum().clamp(min=1)


def losses(cfg, vit, heads, data, images, weights, generator):
    tokens = vit.forward_features(images)[:, 1:].float()
    (classes, depth, normals, colour, edge), thing = heads(tokens)
    scene = data["scene"][:, None].expand(-1, tokens.shape[1])
    mean = lambda v, w: (v * w).sum() / w.sum().clamp(min=1)
    truth = data["classes"]
    each = truth @ weights
    wanted = normalise(data["image"])
    parts = {
        "class": mean(-(truth * weights * classes.log_softmax(-1)).sum(-1), scene) / mean(each, scene).clamp(min=0.1),
        "depth": mean(F.smooth_l1_loss(depth[..., 0] + 1.5, data["depth"], reduction="none", beta=0.3), data["solid"]),
        "normals": mean(F.smooth_l1_loss(normals, data["normals"], reduction="none", beta=0.3).sum(-1), data["solid"]),
        "colour": F.smooth_l1_loss(colour, F.avg_pool2d(wanted, PATCH).flatten(2).transpose(1, 2), beta=0.3),
        "edge": F.binary_cross_entropy_with_logits(edge[..., 0], data["share"]),
        "contrast": contrast(thing, torch.where(scene > 0, data["thing"], -1 - data["thing"]), data["share"], generator, cfg["temperature"]),
    }
    return sum(cfg["weights"][k] * v for k, v in parts.items()), parts, classes, depth


def pca_colours(tokens, grid):
    """First three components of [n, grid * grid, width] as u8 pictures [n, grid, grid, 3], one basis for all."""
    flat = tokens.reshape(-1, tokens.shape[-1])
    flat = flat - flat.mean(0)
    _, _, basis = torch.pca_lowrank(flat, 3, center=False, niter=4)
    scores = flat @ basis
    low, high = scores.quantile(0.01, 0), scores.quantile(0.99, 0)
    return (((scores - low) / (high - low)).clamp(0, 1) * 255).byte().reshape(len(tokens), grid, grid, 3).numpy()


def check(cfg, vit, heads, held, weights, path):
    """Scores of the heads on whole unseen pictures, and a sheet of their principal components."""
    data = held.held(48, cfg["check_grid"])
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        x = normalise(data["image"])
        tokens = torch.cat([vit.forward_features(x[i : i + 8])[:, 1:].float() for i in range(0, len(x), 8)])
    with torch.no_grad():
        (classes, depth, *_), _ = heads(tokens)
    truth, guess = data["classes"].argmax(-1), classes.argmax(-1)
    ious = []
    for c in range(CLASSES):
        union = ((truth == c) | (guess == c)).sum()
        if (truth == c).sum() > 0:
            ious.append((((truth == c) & (guess == c)).sum() / union).item())
    error = (depth[..., 0] + 1.5 - data["depth"])[data["solid"] > 0]
    grid = cfg["check_grid"]
    shown = min(10, len(tokens))
    maps = pca_colours(tokens[:shown], grid)
    side = grid * PATCH
    rows = [np.concatenate([data["image"][i].permute(1, 2, 0).numpy() for i in range(shown)], 1),
            np.concatenate([np.asarray(Image.fromarray(m).resize((side, side), Image.NEAREST)) for m in maps], 1)]
    Image.fromarray(np.concatenate(rows)).save(path)
    return {"held_accuracy": round((truth == guess).float().mean().item(), 4), "held_miou": round(float(np.mean(ious)), 4),
            "held_log_depth_rmse": round(error.square().mean().sqrt().item(), 4)}


def main():
    cfg = read_config()
    torch.set_flush_denormal(True)
    seed = cfg["seed"] + int(time.time())
    generator = torch.Generator().manual_seed(seed)
    data, held = Batches(cfg, seed), Batches(cfg | {"scenes": cfg["held"]}, 0)
    vit, heads = build(cfg), Heads(cfg["width"])
    optimiser = Muon([("vit." + n, p) for n, p in vit.named_parameters()] + [("heads." + n, p) for n, p in heads.named_parameters()],
                     cfg["lr_muon"], cfg["lr_adam"], cfg["weight_decay"])
    average = Average([vit, heads], cfg["ema"])
    log, step, spent, samples = Log(cfg["out"], "backbone"), 0, 0.0, 0
    state_path = cfg["out"] + "/state.pt"
    if os.path.exists(state_path):
        s = torch.load(state_path, weights_only=True)
        vit.load_state_dict(s["vit"])
        heads.load_state_dict(s["heads"])
        optimiser.load_state_dict(s["optimiser"])
        average.load_state_dict(s["average"])
        step, spent, samples = s["step"], s["spent"], s["samples"]
    print("parameters (M):", sum(p.numel() for p in vit.parameters()) / 1e6, flush=True)
    # Rare classes weigh more, but not in proportion.
    share = np.bincount(np.asarray(data.scenes.shards[0]["class"][::4, ::4, ::4]).ravel(), minlength=CLASSES) + 1.0
    weights = torch.from_numpy((share / share.sum()) ** -0.4).float()
    weights /= (weights * torch.from_numpy(share / share.sum())).sum()
    vit.train()
    began = saved = time.time()
    while True:
        now = time.time()
        progress = (spent + now - began) / (cfg["minutes"] * 60)
        stop = progress >= 1 or os.path.exists(cfg["out"] + "/stop")
        if stop or now - saved > cfg.get("report", 180):
            average.swap()
            ema = {"vit": {k: v.clone() for k, v in vit.state_dict().items()}, "heads": {k: v.clone() for k, v in heads.state_dict().items()}}
            scores = check(cfg, vit, heads, held, weights, cfg["out"] + "/pca.png")
            average.swap()
            log.report(step, progress=round(progress, 3), samples=samples, scenes=data.scenes.count(), **scores)
            saved = time.time()
            save_whole({"vit": vit.state_dict(), "heads": heads.state_dict(), "ema": ema["vit"], "ema_heads": ema["heads"], "optimiser": optimiser.state_dict(),
                        "average": average.state_dict(), "step": step, "spent": spent + saved - began, "samples": samples, "config": json.dumps(cfg)}, state_path)
            if stop:
                return
        sizes = cfg["late_grids"] if progress > cfg["late"] else cfg["grids"]
        grid = int(sizes[data.rng.integers(len(sizes))])
        pairs = max(2, round(cfg["tokens"] / (2 * grid * grid)))
        batch = data.batch(pairs, grid)
        images = jitter(batch["image"], generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, parts, _, _ = losses(cfg, vit, heads, batch, images, weights, generator)
        loss.backward()
        optimiser.step(schedule(progress, tail=cfg["tail"]))
        average.update()
        step += 1
        samples += 2 * pairs
        log.add(loss=loss.item(), **{k: v.item() for k, v in parts.items()})
        if step % 25 == 0:
            print(step, grid, round(progress, 3), {k: round(v / log.n, 3) for k, v in log.sums.items()}, samples, round(time.time() - began), flush=True)


if __name__ == "__main__":
    main()
