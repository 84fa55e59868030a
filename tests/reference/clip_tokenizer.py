"""Makes tests/parity/fixtures/clip_tokenizer: small CLIP tokenizers and the ids that transformers' CLIPTokenizer gives.

Run from the repository's root with transformers and tokenizers installed. Three tokenizers are trained on the sentences below:

  bytes    every byte is in the vocabulary; published as vocab.json and merges.txt, pad token = end token
  sparse   only the training text's bytes are in it, so other characters become the unknown token; pad token "!" that only
           special_tokens_map.json names (as Stable Diffusion 2 does)
  whole    `bytes` again, written by transformers itself (tokenizer.json)
"""

import json
from pathlib import Path

import tokenizers
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

HERE = Path("tests/parity/fixtures/clip_tokenizer")
START, END = "<|startoftext|>", "<|endoftext|>"

SENTENCES = [
    "make it feel like winter", "put snow on the roofs", "turn the lake to ice", "make the sky overcast",
    "paint the roof red", "light the windows", "it's a village by a lake", "the boat isn't there any more",
    "we've got 3 cars and 12 trees", "a quiet evening in late autumn, with fog over the water!",
    "swap the old fence for a stone wall", "the sign says OPEN 24", "colour the leaves yellow and orange",
]

TEXTS = [
    "", " ", "make it feel like winter", "Make It FEEL like Winter", "  put   snow\ton\nthe roofs  ",
    "it's we've they're I'm he'll she'd don't", "don't!!!'s", "!!", "!", "hello!", "roof-red,car/blue;water:green",
    "3 cars 12 trees 1234567890 ½ ² Ⅷ ٣", "café cafe\u0301 naïve Ångström A\u030angstro\u0308m", "STRASSE straße ẞ",
    "İstanbul ıI", "ﬁne ﬂow", "雪を屋根に置く", "сделай зиму", "κάνε χειμώνα ΣΊΣΥΦΟΣ", "❄️ snow 🏠🏔️", "a\u00a0b\u2003c\u200bd",
    "<|startoftext|> in the text", "before<|endoftext|>after", "<|ENDOFTEXT|>", "<|pad|>", "a_b __c__ d'e 'tis 'S 'T",
    "\u0000\u0001\u007f control", "...---...", "x" * 300, "winter " * 120, "snow! " * 76, "snow " * 75, "snow " * 76,
]


def train(alphabet, size):
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False, special_tokens=[]
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    # Every byte also at a word's end, as in CLIP's own vocabulary.
    ends = [c + "</w>" for c in alphabet if c + "</w>" not in pieces]
    pieces = pieces + ends + [START, END]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    return {piece: i for i, piece in enumerate(pieces)}, merges


def write(folder, vocab, merges, config, special):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2"] + [" ".join(merge) for merge in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=1))


def expected(folder, tokenizer):
    rows = [
        {"text": text, "ids": tokenizer(text, padding="max_length", max_length=77, truncation=True)["input_ids"]}
        for text in TEXTS
    ]
    versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
    (folder / "expected.json").write_text(json.dumps({"made_with": versions, "rows": rows}, ensure_ascii=False), encoding="utf-8")


def token(content):
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}


vocab, merges = train(sorted(pre_tokenizers.ByteLevel.alphabet()), 420)
config = {"bos_token": {"__type": "AddedToken", **token(START)}, "eos_token": {"__type": "AddedToken", **token(END)},
          "pad_token": END, "unk_token": {"__type": "AddedToken", **token(END)}, "model_max_length": 77,
          "do_lower_case": True, "tokenizer_class": "CLIPTokenizer"}
special = {"bos_token": token(START), "eos_token": token(END), "pad_token": END, "unk_token": token(END)}
write(HERE / "bytes", vocab, merges, config, special)
reference = CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)
expected(HERE / "bytes", CLIPTokenizer.from_pretrained(HERE / "bytes"))
reference.save_pretrained(HERE / "whole")
expected(HERE / "whole", reference)

vocab, merges = train(sorted(set("abcdefghijklmnopqrstuvwxyz!'0123")), 160)
config = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END, "model_max_length": 77}
write(HERE / "sparse", vocab, merges, config, {"bos_token": START, "eos_token": END, "pad_token": "!", "unk_token": END})
expected(HERE / "sparse", CLIPTokenizer.from_pretrained(HERE / "sparse"))
