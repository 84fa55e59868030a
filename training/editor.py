"""Trains the starter editor: 8-channel UNet2DConditionModel and CLIPTextModel jointly, on encoded pairs.

Loss: v-prediction on the target's latents, given the source's unscaled latents and the text. High noise levels are
drawn more often, because that is where an image-conditioned edit is decided.
"""
import glob
import json
import os
import time

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel

from bpe import Tokenizer
from common import Average, Log, Muon, read_config, save_whole, schedule
from pairs import Pairs


def build(cfg, tokenizer):
    w, width = cfg["widths"], cfg["text_width"]
    head = cfg["head"]
    unet = UNet2DConditionModel(
        sample_size=32, in_channels=8, out_channels=4, block_out_channels=tuple(w), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=16, cross_attention_dim=width, attention_head_dim=tuple(c // head for c in w),
    )
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer.vocab), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=cfg["text_layers"],
        num_attention_heads=width // head, max_position_embeddings=tokenizer.length, projection_dim=width,
        bos_token_id=tokenizer.bos, eos_token_id=tokenizer.eos, pad_token_id=tokenizer.eos,
    ))
    unet.set_attn_processor(AttnProcessor())  # plain matrix products: on a CPU their backward pass is the quickest
    text.set_attn_implementation("eager")
    return unet, text


def alphas_bar():
    """Cumulative signal power of the scaled-linear schedule, [1000]."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


def load(unet, text, path):
    """Weights of a folder in diffusers layout, or the averaged ones of a run's checkpoint, into both networks."""
    if os.path.isdir(path):
        unet.load_state_dict(UNet2DConditionModel.from_pretrained(path + "/unet", torch_dtype=torch.float32).state_dict())
        text.load_state_dict(CLIPTextModel.from_pretrained(path + "/text_encoder", torch_dtype=torch.float32).state_dict())
        return {"step": 0, "samples": 0, "spent": 0.0}
    s = torch.load(path, weights_only=True)
    unet.load_state_dict(s["ema_unet"])
    text.load_state_dict(s["ema_text"])
    return s


def shards_of(patterns):
    """The latents' files that are there now."""
    return sorted(p for pattern in patterns for p in glob.glob(pattern))


def importance(src, dst, spatial, most=3.0):
    """Loss weight of every pair and place, [n, 1, h, w]; no pair weighs more than `most`.

    What counts in the end is the error relative to the change, so small changes weigh more; and the places that change
    weigh `spatial` more than the others, without which small parts are learnt long after large ones.
    """
    change = ((dst - src) ** 2).mean(1, keepdim=True)
    mean = change.mean((2, 3), keepdim=True)
    pair = torch.where(mean > 0, (0.5 / (mean + 1e-6)).sqrt().clamp(0.6, most), torch.ones(()))
    return pair * (1 + spatial * (change > 0.1 * change.amax((2, 3), keepdim=True) + 1e-3))


def spatial(cfg, progress):
    """Extra weight of the places that change: `spatial` at the start of the run, `spatial_end` at its end."""
    first = cfg.get("spatial", 0.0)
    return first + (cfg.get("spatial_end", first) - first) * min(progress, 1.0)


def windows(rng, src, dst, side):
    """A `side` x `side` part of every pair, [n, 4, side, side]: of five random places usually the one that changes most.

    Parts of the large latents have the scale of detail that people's pictures have, at the cost of the small ones.
    """
    places = rng.integers(0, (src.shape[2] - side + 1, src.shape[3] - side + 1), (len(src), 5, 2))
    out_src, out_dst = [], []
    for s, d, tried, best in zip(src, dst, places, rng.random(len(src)) < 0.8):
        parts = [(s[:, y : y + side, x : x + side], d[:, y : y + side, x : x + side]) for y, x in tried[: None if best else 1]]
        s, d = max(parts, key=lambda p: ((p[0] - p[1]) ** 2).sum().item())
        out_src.append(s), out_dst.append(d)
    return torch.stack(out_src), torch.stack(out_dst)


def main():
    cfg = read_config()
    rng = np.random.default_rng(cfg["seed"] + int(time.time()))
    tokenizer = Tokenizer(cfg["tokenizer"])
    unet, text = build(cfg, tokenizer)
    named = [("unet." + n, p) for n, p in unet.named_parameters()] + [("text." + n, p) for n, p in text.named_parameters()]
    optimiser = Muon(named, cfg["lr_muon"], cfg["lr_adam"], cfg.get("weight_decay", 0.0))
    average = Average([unet, text], cfg["ema"])
    log, step, spent, samples = Log(cfg["out"], cfg.get("name", "editor")), 0, 0.0, 0
    state_path = cfg["out"] + "/state.pt"
    if os.path.exists(state_path):
        s = torch.load(state_path, weights_only=True)
        unet.load_state_dict(s["unet"])
        text.load_state_dict(s["text"])
        optimiser.load_state_dict(s["optimiser"])
        average.load_state_dict(s["average"])
        step, spent, samples = s["step"], s["spent"], s["samples"]
    elif cfg.get("start"):
        s = load(unet, text, cfg["start"])
        if "optimiser" in s:
            unet.load_state_dict(s["unet"])
            text.load_state_dict(s["text"])
            optimiser.load_state_dict(s["optimiser"])
        average = Average([unet, text], cfg["ema"])
    unet.train(), text.train()
    run_unet = unet
    if cfg.get("compile", False):  # a minute once a shape, then a sixth less time a step
        unet.to(memory_format=torch.channels_last)
        run_unet = torch.compile(unet, dynamic=False)
    print("parameters (M): unet", sum(p.numel() for p in unet.parameters()) / 1e6, "text", sum(p.numel() for p in text.parameters()) / 1e6)
    ab = alphas_bar()
    scale = cfg["scaling_factor"]
    sizes = cfg["sizes"]
    shards = None
    began = saved = time.time()
    while True:
        if shards is None or (step % 200 == 0 and shards != shards_of(cfg["shards"])):
            shards = shards_of(cfg["shards"])  # shards that appear during the run are taken in
            data = {k: Pairs(cfg["shards"], cfg["shares"], "half" if k == "half" else "full", tokenizer) for k in sizes}
        now = time.time()
        progress = (spent + now - began) / (cfg["minutes"] * 60)
        stop = progress >= 1 or os.path.exists(cfg["out"] + "/stop")
        if stop or now - saved > 180:
            average.swap()
            ema_unet = {k: v.clone() for k, v in unet.state_dict().items()}
            ema_text = {k: v.clone() for k, v in text.state_dict().items()}
            average.swap()
            saved = time.time()
            log.report(step, progress=round(progress, 3), samples=samples)
            save_whole({"unet": unet.state_dict(), "text": text.state_dict(), "ema_unet": ema_unet, "ema_text": ema_text,
                        "optimiser": optimiser.state_dict(), "average": average.state_dict(), "step": step,
                        "spent": spent + saved - began, "samples": samples, "config": json.dumps(cfg)}, state_path)
            if stop:
                return
        key = list(sizes)[rng.choice(len(sizes), p=np.array(list(sizes.values())) / sum(sizes.values()))]
        pairs, n = data[key], cfg["batch"][key]
        src, dst, rows = pairs.batch(rng, n)
        if key == "window":
            src, dst = windows(rng, src, dst, cfg["window"])
        weight = importance(src, dst, spatial(cfg, progress), cfg.get("most", 3.0)) if cfg.get("importance", False) else torch.ones(n, 1, 1, 1)
        drop = cfg.get("drop", [0.05, 0.05, 0.05])  # condition dropout: text, image, both
        for i, u in enumerate(rng.random(n)):
            if u < drop[0]:
                dst[i], rows[i] = src[i], pairs.empty  # image without text: leave it as it is
            elif u < drop[0] + drop[1]:
                src[i] = 0
            elif u < sum(drop):
                src[i], rows[i] = 0, pairs.empty
        unique, index = np.unique(rows, return_inverse=True)
        t = torch.from_numpy(np.where(rng.random(n) < cfg["high_share"], rng.integers(cfg.get("high_from", 600), 1000, n), rng.integers(0, 1000, n)))
        a, b = ab[t].sqrt()[:, None, None, None], (1 - ab[t]).sqrt()[:, None, None, None]
        z0 = dst * scale
        noise = torch.randn_like(z0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            context = text(pairs.tokens[unique]).last_hidden_state[torch.from_numpy(index)]
            rows_in = torch.cat([a * z0 + b * noise, src], 1)
            if run_unet is not unet:
                rows_in = rows_in.contiguous(memory_format=torch.channels_last)
            v = run_unet(rows_in, t, context).sample.float()
        error = (v - (a * noise - b * z0)) ** 2
        (error * weight).mean().backward()
        error = error.detach().mean((1, 2, 3))
        optimiser.step(schedule(progress, tail=cfg.get("tail", 0.35)))
        average.update()
        step += 1
        samples += n
        high = t >= 800
        log.add(loss=error.mean().item(), high=error[high].mean().item() if high.any() else 0.1)
        if step % 50 == 0:
            print(step, key, round(progress, 3), round(log.sums["loss"] / log.n, 4), round(log.sums["high"] / log.n, 4), samples, round(time.time() - began), flush=True)


if __name__ == "__main__":
    main()
