"""The edit pairs of encoded shards: which latents go from where to where under which texts."""
import glob
import json
import os

import numpy as np
import torch


def items_of(scene):
    """(kind, name, source row, target row, texts, heldout) for every edit and wish of one scene's description."""
    src = scene["source"]
    for e in scene.get("edits", []):
        row = e.get("row")
        kind = "nothing" if row is None else e["kind"]
        yield kind, e["name"], src if row is None else row_source(e, src), src if row is None else row, e["texts"], e.get("heldout", [])
    for w in scene.get("wishes", []):
        if w.get("row") is not None:
            yield "wish", "wish/" + w["name"], src, w["row"], w["texts"], w.get("heldout", [])
        for s in w.get("specifics", []):
            if s.get("row") is not None:
                texts = s.get("texts") or [s["text"]]
                yield "local", s["name"], src, s["row"], texts, s.get("heldout", [])


def row_source(edit, source):
    """The row an edit starts from: its own `from` when it names one, else the scene's source."""
    return edit["from"] if edit.get("from") is not None else source


class Pairs:
    """All pairs of the shards matching `pattern` (latents-*.npz beside meta-*.jsonl), sampled by kind."""

    def __init__(self, patterns, shares, key, tokenizer):
        self.latents, self.items, self.texts, self.ids = [], {}, {}, []
        offset = 0
        for path in sorted(p for pattern in patterns for p in glob.glob(pattern)):
            with np.load(path) as z:
                if key not in z:
                    continue
                self.latents.append(z[key])
            folder, name = os.path.split(path)
            meta = f"{folder}/{name.replace('latents-', 'meta-').replace('.npz', '.jsonl')}"
            for line in open(meta):
                for kind, name, src, dst, texts, _ in items_of(json.loads(line)):
                    ids = [self.text(t, tokenizer) for t in texts]
                    self.items.setdefault(kind, []).append((offset + src, offset + dst, ids, name))
            offset += len(self.latents[-1])
        self.empty = self.text("", tokenizer)
        self.latents = torch.from_numpy(np.concatenate(self.latents))
        self.tokens = torch.tensor(self.ids)
        kinds = [k for k in shares if k in self.items]
        unknown = set(self.items) - set(shares)
        if unknown:
            raise SystemExit(f"no share given for the kinds {sorted(unknown)}")
        # Within a kind every edit name is equally likely, however many scenes have it.
        self.groups = []
        weights = []
        for k in kinds:
            by_name = {}
            for it in self.items[k]:
                by_name.setdefault(it[3], []).append(it)
            for its in by_name.values():
                self.groups.append(its)
                weights.append(shares[k] * len(its) ** 0.5 / sum(len(v) ** 0.5 for v in by_name.values()))
        w = np.array(weights)
        self.weights = w / w.sum()
        print(f"{len(self.latents)} latents, {len(self.ids)} texts, pairs:", {k: len(self.items[k]) for k in kinds}, flush=True)

    def text(self, t, tokenizer):
        if t not in self.texts:
            self.texts[t] = len(self.ids)
            self.ids.append(tokenizer(t))
        return self.texts[t]

    def batch(self, rng, n):
        """Source and target latents [n, 4, h, w] f32, and the row of each text in `tokens`."""
        src, dst, text = [], [], []
        for g in rng.choice(len(self.groups), n, p=self.weights):
            s, d, ids, _ = self.groups[g][rng.integers(len(self.groups[g]))]
            src.append(s)
            dst.append(d)
            text.append(ids[rng.integers(len(ids))])
        return self.latents[src].float(), self.latents[dst].float(), text
