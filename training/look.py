"""A look at the editor while it trains: gain by edit kind on held-out scenes, and a contact sheet.

gain = 1 - MSE(result, truth) / MSE(input, truth); drift = PSNR to the input where the truth equals the input. As in the
app, result = source + (decoded edit - decoded source): detail comes from the source picture itself.
`python training/look.py CONFIG [key=value ...]` with keys out, checkpoint, vae_checkpoint, images, count, steps, s_t, s_i, s_s.
"""
import glob
import json
import time

import numpy as np
import torch
from PIL import Image, ImageDraw

import editor
import vae as vae_module
from bpe import Tokenizer
from common import read_config
from pairs import items_of
from sane import sample


def gain(result, truth, source):
    base = ((source - truth) ** 2).mean()
    return float("nan") if base < 2e-5 else 1 - ((result - truth) ** 2).mean() / base


def collect(cfg):
    """Up to `count` held-out pairs a kind: (kind, name, text, source u8, truth u8)."""
    rng = np.random.default_rng(cfg.get("pick", 3))
    found = {}
    for path in sorted(glob.glob(cfg["images"])):
        images = np.load(path, mmap_mode="r")
        for line in open(path.replace("images-", "meta-").replace(".npy", ".jsonl")):
            for kind, name, src, dst, texts, heldout in items_of(json.loads(line)):
                texts = heldout or texts
                found.setdefault(kind, []).append((kind, name, texts[rng.integers(len(texts))], images, src, dst))
    out = []
    for kind in sorted(found):
        order = rng.permutation(len(found[kind]))[: cfg["count"]]
        out += [(k, n, t, np.array(im[s]), np.array(im[d])) for k, n, t, im, s, d in (found[kind][i] for i in order)]
    return out


def wishes(cfg):
    """Held-out ambiguous wishes: (text, specifics, source u8, truth u8)."""
    out = []
    for path in sorted(glob.glob(cfg["images"])):
        images = np.load(path, mmap_mode="r")
        for line in open(path.replace("images-", "meta-").replace(".npy", ".jsonl")):
            scene = json.loads(line)
            for w in scene.get("wishes", []):
                specifics = [s["text"] for s in w["specifics"]]
                if w.get("row") is not None and len(specifics) == 3:
                    out.append(((w.get("heldout") or w["texts"])[0], specifics, np.array(images[scene["source"]]), np.array(images[w["row"]])))
    return out[: cfg["count"]]


def wish_gains(judge, ws, shrink, plain=False, **options):
    """Gains of the wishes [n], and the edited pictures."""
    gains, pictures = [], []
    for i in range(0, len(ws), 6):
        chunk = ws[i : i + 6]
        src, dst = shrink(np.stack([w[2] for w in chunk])), shrink(np.stack([w[3] for w in chunk]))
        r, _ = judge.edit(src, [w[0] for w in chunk], [[] if plain else w[1] for w in chunk], **options)
        gains += [gain(a, d / 255.0, s / 255.0) for a, d, s in zip(r, dst, src)]
        pictures += list(r)
    return np.array(gains), pictures


class Judge:
    def __init__(self, cfg):
        self.cfg = cfg
        self.tokenizer = Tokenizer(cfg["tokenizer"])
        self.unet, self.text = editor.build(cfg, self.tokenizer)
        s = editor.load(self.unet, self.text, cfg.get("checkpoint") or cfg["out"] + "/state.pt")
        print("checkpoint at step", s["step"], "samples", s["samples"])
        self.vae = vae_module.load(cfg["vae_checkpoint"], {"widths": cfg["vae_widths"]})
        for m in (self.unet, self.text, self.vae):
            m.eval()

    def edit(self, sources, instructions, specifics, **options):
        """u8 [n, H, W, 3] -> edited pictures, float 0..1, and the seconds taken."""
        x = torch.from_numpy(sources).permute(0, 3, 1, 2).float() / 127.5 - 1
        began = time.time()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            c = self.vae.encode(x).latent_dist.mode().float()
        z = sample(self.unet, self.text, self.tokenizer, c, instructions, specifics, self.cfg["scaling_factor"], **options)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.vae.decode(torch.cat([z, c])).sample.float()
        n = len(x)
        result = (x + y[:n] - y[n:]).clamp(-1, 1)
        return ((result + 1) / 2).permute(0, 2, 3, 1).numpy(), time.time() - began


def main():
    cfg = read_config()
    half = cfg.get("half", False)
    shrink = (lambda a: a.reshape(*a.shape[:-3], 128, 2, 128, 2, 3).mean((-4, -2)).astype(np.uint8)) if half else (lambda a: a)
    judge = Judge(cfg)
    options = {"steps": cfg["steps"], "s_t": cfg["s_t"], "s_i": cfg["s_i"], "spacing": cfg.get("spacing", "linspace")}
    rows, gains, drifts, names = [], {}, {}, {}
    pairs = collect(cfg)
    for i in range(0, len(pairs), 8):
        chunk = pairs[i : i + 8]
        src, dst = shrink(np.stack([p[3] for p in chunk])), shrink(np.stack([p[4] for p in chunk]))
        result, _ = judge.edit(src, [p[2] for p in chunk], [[] for _ in chunk], **options)
        for (kind, name, text, *_), s, d, r in zip(chunk, src / 255.0, dst / 255.0, result):
            g = gain(r, d, s)
            still = np.abs(s - d).max(-1) < 1.5 / 255
            if kind == "nothing" or still.mean() > 0.05:
                drifts.setdefault(kind, []).append(-10 * np.log10(((r - s)[still] ** 2).mean() + 1e-8))
            if g == g:
                gains.setdefault(kind, []).append(g)
                names.setdefault(name.split("/")[0] + "/" + name.split("/")[1] if "/" in name else name, []).append(g)
            rows.append((kind, text, s, r, d, g))
    print("kind            n   median gain  quartiles     drift dB")
    for kind in sorted(set(gains) | set(drifts)):
        g, d = gains.get(kind, []), drifts.get(kind, [])
        q = np.percentile(g, [25, 50, 75]).round(2) if g else ["", "", ""]
        print(f"{kind:14} {max(len(g), len(d)):3}   {q[1]!s:9}    {q[0]!s:>6} {q[2]!s:>6}   {np.median(d) if d else float('nan'):.1f}")
    if cfg.get("by_name"):
        print({k: (round(float(np.median(v)), 2), len(v)) for k, v in sorted(names.items())})
    ws = wishes(cfg) if cfg.get("wishes", True) else []
    if ws:
        for label, plain, o in [("plain", True, options), ("SANE", False, options | {"s_t": cfg.get("s_t_sane", cfg["s_t"]), "s_s": cfg["s_s"]})]:
            g, pictures = wish_gains(judge, ws, shrink, plain, **o)
            print(f"wishes, {label}: median {np.nanmedian(g):.3f} of {len(g)}")
            if not plain:
                for w, r, x in zip(ws, pictures, g):
                    rows.append(("SANE", w[0] + " | " + "; ".join(w[1]), shrink(w[2]) / 255.0, r, shrink(w[3]) / 255.0, x))
    sheet(rows, cfg["out"] + "/look.png", cfg.get("shown", 60), cfg.get("pick", 3))


def sheet(rows, path, limit, seed):
    """Source | result | truth of up to `limit` rows, four columns of triples, 110 px a picture."""
    order = sorted(np.random.default_rng(seed).permutation(len(rows))[:limit], key=lambda i: rows[i][0])
    p, cols = 110, 4
    image = Image.new("RGB", (cols * (3 * p + 8), -(-len(order) // cols) * (p + 14)), (255, 255, 255))
    d = ImageDraw.Draw(image)
    for n, i in enumerate(order):
        kind, text, s, r, t, g = rows[i]
        x, y = n % cols * (3 * p + 8), n // cols * (p + 14)
        d.text((x, y + 1), f"{g:.2f} {kind}: {text}"[:56], fill=(0, 0, 0))
        for j, a in enumerate((s, r, t)):
            image.paste(Image.fromarray((np.clip(a, 0, 1) * 255).astype(np.uint8)).resize((p, p)), (x + j * p, y + 13))
    image.save(path)


if __name__ == "__main__":
    main()
