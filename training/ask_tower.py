"""Trains the tower of the Ask model on single tiles: every patch must tell its classes, its colour, its letter and its sign's word.

Ten times cheaper than learning to read through questions. The heads are thrown away; the tower's second-last hidden
states are what the decoder gets.
"""
import json
import os
import time

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from ask_tiles import LETTERS, PARTS, WORDS, Tiles
from common import Average, Log, Muon, read_config, save_whole, schedule


def vision_config(cfg):
    return CLIPVisionConfig(hidden_size=cfg["width"], intermediate_size=cfg["mlp"], num_hidden_layers=cfg["layers"], num_attention_heads=cfg["width"] // 32,
                            image_size=cfg["side"], patch_size=cfg["patch"], projection_dim=cfg["width"], hidden_act="quick_gelu", attn_implementation="sdpa")


class Tower(nn.Module):
    """transformers' CLIP tower, run up to hidden_states[-2] without the class token."""

    def __init__(self, cfg):
        super().__init__()
        self.clip = CLIPVisionModel(vision_config(cfg))
        v = getattr(self.clip, "vision_model", self.clip)
        self.parts = [v]  # in a list: not a second registration
        with torch.no_grad():
            v.embeddings.patch_embedding.weight.normal_(0, (3 * cfg["patch"] ** 2) ** -0.5)
            v.embeddings.position_embedding.weight.normal_(0, 0.1)
        for layer in v.encoder.layers:
            for m in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj, layer.mlp.fc1):
                nn.init.normal_(m.weight, 0, m.in_features**-0.5)
            for m in (layer.self_attn.out_proj, layer.mlp.fc2):
                nn.init.normal_(m.weight, 0, 0.3 * m.in_features**-0.5)

    def forward(self, pixels):
        v = self.parts[0]
        x = v.pre_layrnorm(v.embeddings(pixels))
        for layer in v.encoder.layers[:-1]:
            x = layer(x, None)
            x = x[0] if isinstance(x, tuple) else x
        return x[:, 1:]


class Heads(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.sizes = [len(WORDS) + 1, len(LETTERS) + 1, PARTS, 3]
        self.head_out = nn.Linear(width, sum(self.sizes))

    def forward(self, x):
        return self.head_out(self.norm(x)).split(self.sizes, -1)


def losses(out, word, letter, share, colour):
    words, letters, parts, tone = (o.float() for o in out)
    weight = torch.where(word > 0, 1.0, 0.05)
    w = (F.cross_entropy(words.flatten(0, 1), word.flatten(), reduction="none") * weight.flatten()).sum() / weight.sum()
    l = (F.cross_entropy(letters.flatten(0, 1), letter.flatten(), reduction="none") * weight.flatten()).sum() / weight.sum()
    c = F.cross_entropy(parts.flatten(0, 1), share.flatten(0, 1))
    t = F.mse_loss(tone, colour)
    on = word > 0
    return w + l + c + 4 * t, {"word": w.item(), "letter": l.item(), "class": c.item(), "tone": t.item(),
                               "read": (words.argmax(-1)[on] == word[on]).float().mean().item(),
                               "spell": (letters.argmax(-1)[on] == letter[on]).float().mean().item()}


def main():
    cfg = read_config()
    tower, heads = Tower(cfg), Heads(cfg["width"])
    parameters = list(tower.named_parameters()) + list(heads.named_parameters())
    parameters = [(n, p) for n, p in parameters if f"layers.{cfg['layers'] - 1}." not in n and "post_layernorm" not in n]
    print("parameters (M):", sum(p.numel() for _, p in parameters) / 1e6)
    optimiser = Muon(parameters, cfg["lr_muon"], cfg["lr_adam"], cfg["weight_decay"], adam_names=("embed", "head_out"))
    average = Average([tower, heads], cfg["ema"])
    log, step, spent, samples = Log(cfg["out"], "ask-tower"), 0, 0.0, 0
    path = cfg["out"] + "/state.pt"
    if os.path.exists(path):
        s = torch.load(path, weights_only=True)
        tower.load_state_dict(s["tower"])
        heads.load_state_dict(s["heads"])
        optimiser.load_state_dict(s["optimiser"])
        average.load_state_dict(s["average"])
        step, spent, samples = s["step"], s["spent"], s["samples"]
    tiles = Tiles(cfg["data"], cfg["side"], cfg["patch"], cfg["seed"] + step)
    began = saved = time.time()
    while True:
        now = time.time()
        progress = (spent + now - began) / (cfg["minutes"] * 60)
        stop = progress >= 1 or os.path.exists(cfg["out"] + "/stop")
        if stop or now - saved > 120:
            average.swap()
            mean = {k: v.clone() for k, v in tower.state_dict().items()}
            average.swap()
            saved = time.time()
            log.report(step, progress=round(progress, 3), samples=samples)
            save_whole({"tower": tower.state_dict(), "heads": heads.state_dict(), "ema": mean, "optimiser": optimiser.state_dict(), "average": average.state_dict(),
                        "step": step, "spent": spent + saved - began, "samples": samples, "config": json.dumps(cfg)}, path)
            if stop:
                return
        pixels, *targets = (torch.from_numpy(v) for v in tiles.batch(cfg["batch"]))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = heads(tower(pixels))
        loss, parts = losses(out, *targets)
        loss.backward()
        optimiser.step(schedule(progress))
        average.update()
        step, samples = step + 1, samples + cfg["batch"]
        log.add(loss=loss.item(), **parts)
        if step % 20 == 0:
            print(step, round(progress, 3), {k: round(v / log.n, 3) for k, v in log.sums.items()}, round(now - began), flush=True)


if __name__ == "__main__":
    main()
