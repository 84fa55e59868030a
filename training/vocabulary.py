"""Trains the editor's vocabulary on the instruction texts of the shards' descriptions and on a list of common words.

`python training/vocabulary.py OUT_FOLDER SIZE LENGTH META.jsonl...`
"""
import json
import os
import sys

import bpe
from pairs import items_of


def main():
    out, size, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    texts = []
    for path in sys.argv[4:]:
        for line in open(path):
            for _, _, _, _, t, _ in items_of(json.loads(line)):
                texts += t
    common = open(os.path.join(os.path.dirname(__file__), "configs/words.txt")).read().split("\n")
    bpe.save(bpe.train(texts + common * 12, size), out, length)
    t = bpe.Tokenizer(out)
    print(len(t.vocab), "entries; longest text", max(sum(i != t.eos for i in t(x)) for x in texts + ["a"]))


if __name__ == "__main__":
    main()
