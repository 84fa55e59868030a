"""A byte-pair vocabulary in CLIP's file format (vocab.json, merges.txt), trained on the instruction texts."""
import collections
import json
import os
import re

WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+|_+")


def byte_letters():
    """The printable stand-in for each byte, as in GPT-2 and CLIP."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in keep}
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + len([x for x in table if table[x] >= chr(256)]))
    return table


LETTERS = byte_letters()


def words(text):
    """Lower-cased words of `text` as tuples of byte letters, the last one with `</w>`."""
    for word in WORD.findall(" ".join(text.lower().split())):
        letters = [LETTERS[b] for b in word.encode()]
        yield (*letters[:-1], letters[-1] + "</w>")


def train(texts, size):
    """Merges learnt from `texts` until the vocabulary holds `size` entries or no pair occurs twice."""
    counts = collections.Counter(w for t in texts for w in words(t))
    merges = []
    while 512 + len(merges) + 2 < size:
        pairs = collections.Counter()
        for w, n in counts.items():
            for pair in zip(w, w[1:]):
                pairs[pair] += n
        if not pairs:
            break
        best, n = max(pairs.items(), key=lambda kv: (kv[1], kv[0]))
        if n < 2:
            break
        merges.append(best)
        counts = collections.Counter({merge(w, best): n for w, n in counts.items()})
    return merges


def merge(word, pair):
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def save(merges, folder, length):
    """Writes the tokenizer folder; `length` is the padded length of a prompt."""
    os.makedirs(folder, exist_ok=True)
    # CLIP's order: printable bytes first, then the stand-ins, both again with </w>, then merges, then the two specials.
    letters = sorted(LETTERS.values())
    vocab = letters + [c + "</w>" for c in letters] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    with open(folder + "/vocab.json", "w") as f:
        json.dump({t: i for i, t in enumerate(vocab)}, f, ensure_ascii=False)
    with open(folder + "/merges.txt", "w") as f:
        f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    with open(folder + "/special_tokens_map.json", "w") as f:
        json.dump(special, f, indent=2)
    with open(folder + "/tokenizer_config.json", "w") as f:
        json.dump({"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": length,
                   "tokenizer_class": "CLIPTokenizer", **special}, f, indent=2)


class Tokenizer:
    """The same encoding as transformers' CLIPTokenizer on these files, padded to `model_max_length`."""

    def __init__(self, folder):
        self.vocab = json.load(open(folder + "/vocab.json"))
        lines = open(folder + "/merges.txt").read().split("\n")[1:]
        self.rank = {tuple(line.split()): i for i, line in enumerate(lines) if line}
        self.length = json.load(open(folder + "/tokenizer_config.json"))["model_max_length"]
        self.bos, self.eos = self.vocab["<|startoftext|>"], self.vocab["<|endoftext|>"]
        self.cache = {}

    def __call__(self, text):
        ids = [self.bos]
        for word in words(text):
            if word not in self.cache:
                w = word
                while len(w) > 1:
                    best = min(zip(w, w[1:]), key=lambda p: self.rank.get(p, 1 << 30))
                    if best not in self.rank:
                        break
                    w = merge(w, best)
                self.cache[word] = [self.vocab[t] for t in w]
            ids += self.cache[word]
        ids = ids[: self.length - 1]
        return ids + [self.eos] * (self.length - len(ids))
