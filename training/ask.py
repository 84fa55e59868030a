"""Trains the Ask model's projector and decoder on the world's questions; see ask_model.py for the network.

Three ways of reading are trained side by side (low resolution only, selected cells, everything), so that they can be
compared. A selection gets no gradient through its threshold; an auxiliary loss pulls the low-resolution attention of the
row that answers towards the patches that decide the question, which the world knows.
"""
import glob
import json
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerFast

from ask_encode import tower_of
from ask_model import Decoder
from common import Average, Log, Muon, read_config, save_whole, schedule

KINDS = ["word", "number", "windows", "colour", "nearer", "presence", "place", "edit"]


def load(folder, limit=None):
    """Pictures with their questions and feature grids."""
    out = []
    for path in sorted(glob.glob(folder + "/high-*.npy")):
        if path.endswith(".part.npy"):
            continue
        number = path[-7:-4]
        high, low = np.load(path, mmap_mode="r"), np.load(f"{folder}/low-{number}.npy", mmap_mode="r")
        for line in open(f"{folder}/meta-{number}.jsonl"):
            m = json.loads(line)
            if m["questions"]:
                out.append((low, high, m["row"], m["questions"]))
    return out[:limit]


def vocabulary(cfg, folder):
    import language

    texts = []
    for path in sorted(glob.glob(cfg["data"] + "/meta-*.jsonl")):
        for line in open(path):
            for q in json.loads(line)["questions"]:
                texts += [f"USER: \n{t} ASSISTANT: {q['answer']}" for t in q["texts"]]
    language.make_tokenizer(texts, cfg["vocabulary"], folder)


class Packer:
    """Turns pictures and questions into batches."""

    def __init__(self, cfg, tokenizer, grid, seed):
        self.cfg, self.t, self.grid, self.rng = cfg, tokenizer, grid, np.random.default_rng(seed)
        self.head = tokenizer("USER: ")["input_ids"]
        self.cache = {}

    def ids(self, text):
        if text not in self.cache:
            self.cache[text] = self.t(text, add_special_tokens=False)["input_ids"]
        return self.cache[text]

    def target(self, boxes):
        """Share of the deciding boxes in every low-resolution patch [g*g], sums to 1; zeros without boxes."""
        g, side = self.grid, self.cfg["side"] * self.cfg["zoom"]
        t = np.zeros((g, g), np.float32)
        step = side / g
        edges = np.arange(g) * step
        for x0, y0, x1, y1 in boxes[:8]:
            along = lambda a, b: np.clip(np.minimum(b, edges + step) - np.maximum(a, edges), 0, None)
            area = np.outer(along(y0, y1), along(x0, x1))
            # a patch counts in full once a quarter of it, or a quarter of the box, lies in it
            t = np.maximum(t, np.minimum(area / (0.25 * min(step * step, (x1 - x0) * (y1 - y0))), 1.0))
        return (t / t.sum()).ravel() if t.sum() else t.ravel()

    def cells(self, target):
        g, p = self.grid, self.cfg["pool"]
        k = g // p
        return (target.reshape(p, k, p, k).max((1, 3)) > 0.02 * max(target.max(), 1e-9)).ravel() & (target.max() > 0)

    def some_cells(self, batch, count):
        """`count` cells a sample, the deciding ones among them, as token numbers [b, k]: enough to learn from, at half the cost."""
        p, side = self.cfg["pool"], self.grid * self.cfg["zoom"]
        wanted = batch["cells"].any(1).numpy() + self.rng.random((len(batch["cells"]), p * p))
        cells = np.argsort(-wanted, -1)[:, :count]
        k = side // p
        inner = (np.arange(k)[:, None] * side + np.arange(k)).ravel()
        corner = cells // p * k * side + cells % p * k
        return torch.from_numpy((corner[:, :, None] + inner).reshape(len(cells), -1))

    def pack(self, pictures, turns, apart):
        """`apart[i]`: whether the questions of sample i do not see each other."""
        start, places = len(self.head), self.grid**2
        samples = []
        for (low, high, row, questions), alone in zip(pictures, apart):
            ids, positions, block = self.head + [3] * places, list(range(start + places)), [0] * (start + places)
            rows, labels, targets, kinds, first = [], [], [], [], []
            order = self.rng.permutation(len(questions))[:turns] if turns else np.arange(len(questions))
            for n, i in enumerate(order):
                q = questions[i]
                text = q["texts"][self.rng.integers(len(q["texts"]))]
                prompt = self.ids((("\n" if alone or n == 0 else "USER: ") + text + " ASSISTANT:"))
                answer = self.ids(" " + q["answer"]) + [2]
                at = start + places if alone else len(ids)
                target = self.target(q["boxes"])
                for j, token in enumerate(answer):
                    rows.append(len(ids) + len(prompt) - 1 + j)
                    labels.append(token)
                    last = token == 2
                    targets.append(np.zeros_like(target) if last else target)
                    kinds.append((n, KINDS.index(q["kind"]), q["detail"]))
                positions += list(range(at, at + len(prompt) + len(answer)))
                block += [n + 1 if alone else 0] * (len(prompt) + len(answer))
                ids = ids + prompt + answer
            samples.append((ids, positions, block, rows, labels, targets, kinds))
        b, n, r = len(samples), max(len(s[0]) for s in samples), max(len(s[3]) for s in samples)
        ids, positions, block = np.full((b, n), 4), np.zeros((b, n), int), np.full((b, n), -1)
        rows, labels, targets = np.zeros((b, r), int), np.full((b, r), -100), np.zeros((b, r, places), np.float32)
        for i, s in enumerate(samples):
            m, k = len(s[0]), len(s[3])
            ids[i, :m], positions[i, :m], block[i, :m], rows[i, :k], labels[i, :k], targets[i, :k] = s[0], s[1], s[2], s[3], s[4], s[5]
        causal = np.tril(np.ones((n, n), bool))[None]
        mask = causal & ((block[:, None, :] == 0) | (block[:, None, :] == block[:, :, None])) & (block[:, None, :] >= 0) | np.eye(n, dtype=bool)[None]
        cells = np.stack([[self.cells(t) for t in one] for one in targets])
        batch = {k: torch.from_numpy(v) for k, v in
                 {"ids": ids, "positions": positions, "mask": mask, "rows": rows, "labels": labels, "targets": targets, "cells": cells}.items()}
        batch["start"], batch["kinds"] = start, [s[6] for s in samples]
        low = torch.from_numpy(np.stack([p[0][p[2]] for p in pictures]).astype(np.float32))
        high = torch.from_numpy(np.stack([p[1][p[2]] for p in pictures]).astype(np.float32))
        return batch, low, high


def attention_loss(maps, batch):
    """Cross-entropy between the deciding patches and each map's share of the picture, mean over maps and rows with a target."""
    t = batch["targets"]
    has = t.sum(-1) > 0
    if not has.any():
        return torch.zeros(())
    t = t[has]
    entropy = -(t * (t + 1e-9).log()).sum(-1)
    total = 0
    for a in maps:
        p = a[has]
        p = p / (p.sum(-1, keepdim=True) + 1e-9)
        total = total + (-(t * (p + 1e-6).log()).sum(-1) - entropy).mean()
    return total / len(maps)


def evaluate(decoder, pictures, packer, modes=("low", "flex", "full", "random"), size=16):
    """Per mode: {kind: (right, asked)}, 'small' for details under 20 pixels, and the share of cells read."""
    decoder.eval()
    keep, packer.rng = packer.rng, np.random.default_rng(1)
    torch.manual_seed(5)
    table = {m: {} for m in modes}
    for i in range(0, len(pictures), size):
        batch, low, high = packer.pack(pictures[i : i + size], 0, [True] * len(pictures[i : i + size]))
        for mode in modes:
            chosen = "random" if mode == "random" else torch.full((len(low),), ["low", "flex", "full"].index(mode))
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                logits, _, cells = decoder(batch, low, None if mode == "low" else high, chosen)
            right = logits.argmax(-1) == batch["labels"]
            for b, kinds in enumerate(batch["kinds"]):
                answers = {}
                for r, (n, kind, detail) in enumerate(kinds):
                    ok, share = answers.get(n, (True, []))[0], answers.get(n, (True, []))[1]
                    if cells:
                        share = share + [float(c[b, r].float().mean()) for c in cells]
                    answers[n] = (ok and bool(right[b, r]), share, kind, detail)
                for ok, share, kind, detail in answers.values():
                    for name in ("all", KINDS[kind], *(["small"] if detail < 20 else [])):
                        a = table[mode].setdefault(name, [0, 0, 0.0])
                        a[0], a[1], a[2] = a[0] + ok, a[1] + 1, a[2] + (np.mean(share) if share else 0)
    packer.rng = keep
    decoder.train()
    return {m: {k: (round(100 * v[0] / v[1], 1), v[1], round(v[2] / v[1], 3)) for k, v in sorted(t.items())} for m, t in table.items()}


def prepare(cfg):
    """The parts that training, evaluation and export share."""
    tower, shape = tower_of(cfg)
    cfg["side"] = shape["side"]
    grid = shape["side"] // shape["patch"]
    folder = cfg["out"] + "/tokenizer"
    if not os.path.exists(folder):
        vocabulary(cfg, folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    decoder = Decoder(cfg, len(tokenizer), shape["width"], grid)
    return decoder, tokenizer, tower, shape, Packer(cfg, tokenizer, grid, cfg["seed"] + int(time.time()))


def main():
    cfg = read_config()
    decoder, tokenizer, _, shape, packer = prepare(cfg)
    pictures, held = load(cfg["data"]), load(cfg["held"])
    print(len(pictures), "pictures,", len(held), "held out; parameters (M):", sum(p.numel() for p in decoder.parameters()) / 1e6, flush=True)
    answers = sorted({q["answer"] for p in pictures for q in p[3]})
    print(len(answers), "answers, in one token:", sum(len(packer.ids(" " + a)) == 1 for a in answers), flush=True)
    sample = torch.from_numpy(np.concatenate([np.array(p[1][p[2]][::7], np.float32) for p in pictures[:64]]))
    decoder.fold(sample.mean(0), sample.std(0) + 1e-3)
    optimiser = Muon(list(decoder.named_parameters()), cfg["lr_muon"], cfg["lr_adam"], cfg["weight_decay"])
    average = Average([decoder], cfg["ema"])
    log, step, spent, count = Log(cfg["out"], "ask"), 0, 0.0, 0
    path = cfg["out"] + "/state.pt"
    if os.path.exists(path):
        s = torch.load(path, weights_only=True)
        decoder.load_state_dict(s["decoder"])
        optimiser.load_state_dict(s["optimiser"])
        average.load_state_dict(s["average"])
        step, spent, count = s["step"], s["spent"], s["questions"]
    rng = packer.rng
    began = saved = scored = time.time()
    while True:
        now = time.time()
        progress = (spent + now - began) / (cfg["minutes"] * 60)
        stop = progress >= 1 or os.path.exists(cfg["out"] + "/stop")
        if stop or now - saved > 150:
            average.swap()
            mean = {k: v.clone() for k, v in decoder.state_dict().items()}
            if stop or now - scored > 420:
                scores = evaluate(decoder, held[:: 1 if stop else 6], packer)
                scored = time.time()
                with open(cfg["out"] + "/scores.jsonl", "a") as f:
                    f.write(json.dumps({"step": step, "progress": round(progress, 3), "scores": scores}) + "\n")
                for m, t in scores.items():
                    print("   ", m, {k: v[0] for k, v in t.items()}, "read", t["all"][2], flush=True)
            average.swap()
            pictures = load(cfg["data"])  # shards may have come
            saved = time.time()
            log.report(step, progress=round(progress, 3), questions=count)
            save_whole({"decoder": decoder.state_dict(), "ema": mean, "optimiser": optimiser.state_dict(), "average": average.state_dict(),
                        "step": step, "spent": spent + saved - began, "questions": count, "config": json.dumps(cfg)}, path)
            if stop:
                return
        chosen = [pictures[i] for i in rng.integers(0, len(pictures), cfg["batch"])]
        batch, low, high = packer.pack(chosen, cfg["turns"], rng.random(len(chosen)) < 0.6)
        draw = torch.from_numpy(rng.random(len(chosen)))
        modes = torch.where(draw < cfg["flex"], 1, torch.where(draw < cfg["flex"] + cfg["full"], 2, 0))
        keep = packer.some_cells(batch, cfg["kept_cells"]) if rng.random() < 0.8 else None
        if keep is not None:
            high = high.gather(1, keep[:, :, None].expand(*keep.shape, high.shape[2]))
        guided = batch["cells"] if rng.random() < 1 - progress / cfg["guided"] else None
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, maps, cells = decoder(batch, low, high, modes, min(1.0, progress / cfg["ramp"] + 0.1), guided, keep)
        answer = F.cross_entropy(logits.float().flatten(0, 1), batch["labels"].flatten(), ignore_index=-100)
        aim = attention_loss(maps, batch)
        loss = answer + cfg["attention_weight"] * aim
        loss.backward()
        optimiser.step(schedule(progress))
        average.update()
        with torch.no_grad():
            real = (batch["labels"] != -100) & (batch["labels"] != 2)
            right = ((logits.argmax(-1) == batch["labels"]) & real).sum() / real.sum()
            flex = modes == 1
            read = torch.stack([c[flex][real[flex]].float().mean() for c in cells]).mean() if flex.any() else torch.zeros(())
        step, count = step + 1, count + sum(len({k[0] for k in kinds}) for kinds in batch["kinds"])
        log.add(loss=loss.item(), answer=answer.item(), attention=aim.item(), right=right.item(), read=read.item())
        if step % 20 == 0:
            print(step, round(progress, 3), {k: round(v / log.n, 3) for k, v in log.sums.items()}, round(now - began), flush=True)


if __name__ == "__main__":
    main()
