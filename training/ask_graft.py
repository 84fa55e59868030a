"""Starts one reading layer of the Ask model from regressions instead of chance: `python training/ask_graft.py CONFIG FROM.pt TO.pt`.

Whoever asks for a sign's word should find the sign's tokens and pass on the word they hold; the same for the colours of
signs, doors, cars, boats and roofs. Both are linear enough in the tower's features to be fitted by ridge regression on
the world's truth. In layer `graft_layer`, heads 0 and 1 get the words, head 3 the colours: queries from the question's
hidden state, keys and values from the high-resolution tokens. The slow rotary channels are used, which hardly turn.
Training goes on from there.
"""
import json
import sys

import numpy as np
import torch

import ask
from ask_tiles import WORDS, on_board
from common import read_config, save_whole

THINGS = {"sign": 15, "door": 7, "car": 11, "boat": 12, "roof": 5}  # class numbers of the world
COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "white", "black"]
SLOW = [11, 12, 13, 14, 15]


def ridge(x, y, weight, strength=1e-3):
    """W [out, in] with y ~ W x."""
    xw = x * weight[:, None]
    a = x.T @ xw
    return torch.linalg.solve(a + strength * a.diagonal().mean() * torch.eye(len(a)), xw.T @ y).T


def main():
    path, source, target = sys.argv[1:4]
    sys.argv = [sys.argv[0], path, *sys.argv[4:]]
    cfg = read_config(path)
    decoder, tokenizer, _, shape, packer = ask.prepare(cfg)
    state = torch.load(source, weights_only=True)
    decoder.load_state_dict(state["ema"])
    side, p = shape["side"] * cfg["zoom"], shape["patch"]
    n = side // p
    middle = np.arange(n) * p + p / 2
    ys, xs = np.meshgrid(middle, middle, indexing="ij")
    tokens, words, things, colours = [], [], [], []
    pictures = [q for q in ask.load(cfg["data"])][:1400]
    rng = np.random.default_rng(0)
    metas = {}
    for low, high, row, questions in pictures:
        number = high.filename[-7:-4]
        if number not in metas:
            metas[number] = ([json.loads(line) for line in open(f"{cfg['data']}/meta-{number}.jsonl")], np.load(f"{cfg['data']}/class-{number}.npy", mmap_mode="r"))
        meta, classes = metas[number][0][row], metas[number][1]
        word = np.zeros((n, n), int)
        for s in meta["signs"]:
            u, v = on_board(s["corners"], xs, ys)
            word[(u > 0) & (u < 1) & (v > -0.1) & (v < 1.1)] = WORDS.index(s["text"]) + 1
        cells = classes[row].reshape(n, p, n, p).transpose(0, 2, 1, 3).reshape(n, n, -1)
        thing, colour = np.zeros((n, n), int), np.zeros((n, n), int)
        asked = {t: q["answer"] for q in questions if q["kind"] == "colour" for t in THINGS if t in q["texts"][0]}
        for i, (name, number) in enumerate(THINGS.items()):
            on = (cells == number).mean(-1) > 0.35
            thing[on] = i + 1
            if name in asked:
                colour[on] = COLOURS.index(asked[name]) + 1
        pick = (thing > 0) | (rng.random((n, n)) < 0.03)
        tokens.append(np.array(high[row], np.float32).reshape(n, n, -1)[pick])
        words.append(word[pick]), things.append(thing[pick]), colours.append(colour[pick])
    x = torch.from_numpy(np.concatenate(tokens))
    words, things, colours = (torch.from_numpy(np.concatenate(v)) for v in (words, things, colours))
    with torch.no_grad():
        f = decoder.model.mm_projector(x)
    print("tokens", len(f), "of signs with words", int((words > 0).sum()))
    hot = lambda ids, k: torch.eye(k + 1)[ids][:, 1:]
    rest = (things == 0).float()
    centred = lambda t, on: torch.where(on[:, None], t - t[on].mean(0), torch.zeros(()))
    word_map = ridge(f, centred(hot(words, len(WORDS)), words > 0), torch.where(words > 0, 1.0, 0.15))
    colour_map = ridge(f, centred(hot(colours, 8), colours > 0), torch.where(colours > 0, 1.0, 0.1))
    finder = ridge(f, hot(things, 5), torch.where(things > 0, 1.0, 1.0))
    found = f @ finder.T
    print("word of a token", float(((f @ word_map.T).argmax(1) + 1 == words)[words > 0].float().mean()),
          "colour", float(((f @ colour_map.T).argmax(1) + 1 == colours)[colours > 0].float().mean()),
          "found", [round(float(found[things == i + 1, i].mean() - found[things != i + 1, i].mean()), 2) for i in range(5)])

    # what the questions' rows look like at that layer
    index = cfg["graft_layer"]
    layer = decoder.model.layers[index]
    seen = []
    hook = layer.input_layernorm.register_forward_hook(lambda m, i, o: seen.append(o.detach()))
    last = []
    hook2 = decoder.model.norm.register_forward_hook(lambda m, i, o: last.append(i[0].detach()))
    h, wants = [], []
    for i in range(0, 320, 16):
        batch, low, high = packer.pack(pictures[i : i + 16], 0, [True] * 16)
        seen.clear()
        with torch.no_grad():
            decoder(batch, low, None, torch.zeros(16))
        for b, kinds in enumerate(batch["kinds"]):
            for r, (turn, kind, _) in enumerate(kinds):
                if batch["labels"][b, r] == 2:
                    continue
                name = ask.KINDS[kind]
                text = tokenizer.decode(batch["ids"][b, max(0, batch["rows"][b, r] - 14) : batch["rows"][b, r] + 1])
                text = text[text.rfind("\n") + 1 :]
                want = [1.0 if name in ("word", "number") else -0.3] + [1.0 if name == "colour" and t in text else -0.3 for t in THINGS]
                h.append(seen[0][b, batch["rows"][b, r]])
                wants.append(want)
    hook.remove(), hook2.remove()
    h, wants = torch.stack(h).float(), torch.tensor(wants)
    probe = ridge(h, wants, torch.ones(len(h)), 1e-2)
    guess = h @ probe.T
    print("questions", len(h), "told apart", [round(float(guess[wants[:, i] > 0, i].mean() - guess[wants[:, i] < 0, i].mean()), 2) for i in range(6)])
    length = float(torch.cat([v.reshape(-1, v.shape[-1]) for v in last]).norm(dim=1).median())

    a = layer.self_attn
    gain = (cfg["graft_score"] * 32**0.5) ** 0.5
    with torch.no_grad():
        def seat(head, dims, rows, basis):
            at = [32 * head + d for d in dims]
            a.o_proj.weight[:, at] = basis
            a.v_proj.weight[at] = 0
            a.v_proj_hd.weight[at] = rows
        def aim(head, dims, queries, keys):
            at = [32 * head + d for d in dims]
            for w in (a.q_proj, a.k_proj, a.k_proj_hd):
                w.weight[at] = 0
                w.weight[[32 * head + d + 16 for d in dims]] = 0
            a.q_proj.weight[at] = gain * queries
            a.k_proj_hd.weight[at] = gain * keys
        for ids, mapping, heads in ((WORDS, word_map, (0, 1)), (COLOURS, colour_map, (3,))):
            u = decoder.lm_head.weight[[packer.ids(" " + t)[0] for t in ids]].float()
            u = u - u.mean(0)
            u = u / u.norm(dim=1, keepdim=True) * length * cfg["graft_length"]
            basis = torch.linalg.svd(u, full_matrices=False).Vh  # [k, width]
            rows = basis @ u.T @ mapping  # [k, width] from a token to coordinates
            k = len(basis) // len(heads)
            for j, head in enumerate(heads):
                part = slice(j * k, (j + 1) * k)
                seat(head, [*range(k)], rows[part], basis[part].T)
        # one more channel keeps every high-resolution token away unless it is asked for
        always = ridge(h, torch.ones(len(h), 1), torch.ones(len(h)), 1e-2)
        away = -cfg["graft_away"] * ridge(f, torch.ones(len(f), 1), torch.ones(len(f)))
        for head in (0, 1):
            aim(head, [SLOW[0], SLOW[4]], torch.cat((probe[:1], always)), torch.cat((finder[:1], away)))
        aim(3, [*SLOW, 10], torch.cat((probe[1:], always)), torch.cat((finder, away)))
    for key, value in decoder.state_dict().items():
        state["ema"][key] = value.clone()
        state["decoder"][key] = value.clone()
    state["average"]["mean"] = [q.detach().clone() for _, q in decoder.named_parameters()]
    state["optimiser"]["momentum"] = [m * 0 for m in state["optimiser"]["momentum"]]
    save_whole(state, target)
    if "check" in cfg:
        for m, t in ask.evaluate(decoder, ask.load(cfg["held"])[: cfg["check"]], packer).items():
            print(m, {k: v[0] for k, v in t.items()}, "read", t["all"][2])


if __name__ == "__main__":
    main()
