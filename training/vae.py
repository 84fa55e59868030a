"""Trains the starter VAE (AutoencoderKL, f8, 4 latent channels).

Phase 1 trains encoder and decoder; phase 2 (`freeze_encoder = true`) keeps the encoder, whose latents the editor is
being trained on, and improves the decoder alone.
"""
import glob
import json
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image

from common import Average, Log, Muon, read_config, save_whole, schedule


def build(cfg):
    widths = tuple(cfg["widths"])
    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=4,
        sample_size=256,
        scaling_factor=cfg.get("scaling_factor", 1.0),
    )


def load(path, cfg):
    """The VAE of a folder in diffusers layout, or the averaged weights of a run's checkpoint."""
    if os.path.isdir(path):
        return AutoencoderKL.from_pretrained(path, torch_dtype=torch.float32)
    vae = build(cfg)
    vae.load_state_dict(torch.load(path, weights_only=True)["ema"])
    return vae


class Crops:
    """Random crops from the picture files; files that appear during the run are taken in."""

    def __init__(self, cfg):
        self.cfg, self.rng, self.files, self.seen = cfg, np.random.default_rng(cfg["seed"]), {}, 0.0

    def refresh(self):
        if time.time() - self.seen < 30:
            return
        self.seen = time.time()
        for group in ("procedural", "scenes"):
            for path in sorted(glob.glob(self.cfg.get(group, ""))):
                if path not in self.files:
                    self.files[path] = (group, np.load(path, mmap_mode="r"))
                    print("pictures from", path, flush=True)

    def batch(self, n, size):
        """f32 [n, 3, size, size] in -1..1."""
        self.refresh()
        groups = {g: [a for k, a in self.files.values() if k == g] for g in ("procedural", "scenes")}
        out = []
        for _ in range(n):
            scene = groups["scenes"] and (not groups["procedural"] or self.rng.random() < self.cfg["scene_share"])
            arrays = groups["scenes" if scene else "procedural"]
            a = arrays[self.rng.integers(len(arrays))]
            image = a[self.rng.integers(len(a))]
            if self.rng.random() < 0.3:
                image = image[::2, ::2] // 2 + image[1::2, 1::2] // 2
            y, x = (self.rng.integers(image.shape[i] - size + 1) for i in (0, 1))
            crop = image[y : y + size, x : x + size]
            if self.rng.random() < 0.5:
                crop = crop[:, ::-1]
            out.append(np.array(crop))
        return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 127.5 - 1


def loss_of(y, x):
    """L1, gradients at three scales, and the colour of 4x4 and 8x8 areas (what the app keeps of an edit)."""
    total = F.l1_loss(y, x)
    a, b = y, x
    for _ in range(3):
        total = total + 0.25 * (F.l1_loss(a.diff(dim=2), b.diff(dim=2)) + F.l1_loss(a.diff(dim=3), b.diff(dim=3)))
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return total + 0.5 * F.l1_loss(F.avg_pool2d(y, 4), F.avg_pool2d(x, 4)) + 0.5 * F.l1_loss(a, b)


def sheet(vae, x, path):
    with torch.no_grad():
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
    psnr = (10 * torch.log10(4 / ((y - x) ** 2).mean((1, 2, 3)))).mean().item()
    rows = torch.cat([torch.cat(list(v), -1) for v in (x, y)], -2)
    Image.fromarray(((rows.permute(1, 2, 0).numpy() + 1) * 127.5).clip(0, 255).astype(np.uint8)).save(path)
    return psnr


def main():
    cfg = read_config()
    vae = load(cfg["start"], cfg) if cfg.get("start") else build(cfg)
    frozen = cfg.get("freeze_encoder", False)
    if frozen:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    optimiser = Muon([(n, p) for n, p in vae.named_parameters() if p.requires_grad], cfg["lr_muon"], cfg["lr_adam"])
    average = Average([vae], cfg["ema"])
    crops, log, step, spent = Crops(cfg), Log(cfg["out"], cfg.get("name", "vae")), 0, 0.0
    state_path = cfg["out"] + "/state.pt"
    if os.path.exists(state_path):
        s = torch.load(state_path, weights_only=True)
        vae.load_state_dict(s["vae"])
        optimiser.load_state_dict(s["optimiser"])
        average.load_state_dict(s["average"])
        step, spent = s["step"], s["spent"]
    began = saved = time.time()
    while True:
        now = time.time()
        progress = (spent + now - began) / (cfg["minutes"] * 60)
        if progress >= 1 or now - saved > 150 or os.path.exists(cfg["out"] + "/stop"):
            average.swap()
            ema = {k: v.clone() for k, v in vae.state_dict().items()}
            check = np.random.default_rng(5)
            psnr = {}
            for group in ("procedural", "scenes"):
                arrays = [a for k, a in crops.files.values() if k == group]
                if arrays:
                    a = arrays[-1]
                    pick = np.stack([a[-1 - i] for i in check.integers(0, min(len(a), 64), 6)])
                    x = torch.from_numpy(pick).permute(0, 3, 1, 2).float() / 127.5 - 1
                    psnr["psnr_" + group] = round(sheet(vae, x, f"{cfg['out']}/{group}.png"), 2)
            average.swap()
            saved = time.time()
            log.report(step, progress=round(progress, 3), **psnr)
            save_whole({"vae": vae.state_dict(), "ema": ema, "optimiser": optimiser.state_dict(), "average": average.state_dict(),
                        "step": step, "spent": spent + saved - began, "config": json.dumps(cfg)}, state_path)
            if progress >= 1 or os.path.exists(cfg["out"] + "/stop"):
                return
        x = crops.batch(cfg["batch"], cfg["crop"])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.set_grad_enabled(not frozen):
                posterior = vae.encode(x).latent_dist
                mean, logvar = posterior.mean.float(), posterior.logvar.float()
            z = mean if frozen else mean + torch.randn_like(mean) * (0.5 * logvar).exp()
            if frozen:
                z = z + cfg.get("latent_noise", 0.0) * z.std() * torch.rand(len(z), 1, 1, 1) * torch.randn_like(z)
            y = vae.decode(z).sample
        y = y.float()
        loss = loss_of(y, x)
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        # Early on, three channels are led towards the mean colour of their 8x8 area: colour is learnt at once, and the
        # latents stay close to colours, which makes an edit an easy function for a small UNet.
        lead = F.mse_loss(mean[:, :3], 2 * F.avg_pool2d(x, 8))
        lead_weight = cfg["lead"] * max(cfg["lead_floor"], 1 - progress / 0.4)
        (loss if frozen else loss + cfg["kl"] * kl + lead_weight * lead).backward()
        optimiser.step(schedule(progress))
        average.update()
        step += 1
        log.add(loss=loss.item(), kl=kl.item(), lead=lead.item())
        if step % 50 == 0:
            print(step, round(progress, 3), round(log.sums["loss"] / log.n, 4), round(now - began), flush=True)


if __name__ == "__main__":
    main()
