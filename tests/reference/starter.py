"""Fixture for the starter language model: a tiny random one in its layout, run by transformers on a picture and a wish.

    python tests/reference/starter.py        (torch, transformers, tokenizers, pillow, safetensors)

Writes the folder tests/parity/fixtures/language/starter: config.json, model.safetensors, tokenizer.json and the small
files beside them as a published LLaVA has them, picture.png, and expected.json with the greedy answers of transformers
to both prompts of training/README.md.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
import transformers as tf
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from language import randomise

OUT = Path(__file__).resolve().parent.parent / "parity" / "fixtures" / "language" / "starter"
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
SIDE, PATCH, NEW = 28, 7, 14
CAPTION = "USER: <image>\nDescribe the picture in one sentence. ASSISTANT:"
SPECIFY = "USER: Picture: a house by a lake\nWish: make it feel like winter\nWrite 3 instructions, one per line. ASSISTANT:"
TAKEN = " put snow on the roof\nfreeze the lake\n"


def tokenizer():
    inner = Tokenizer(models.BPE(unk_token=None))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>", "<image>", "<pad>"]
    alphabet = [piece for piece in pre_tokenizers.ByteLevel.alphabet()]
    inner.train_from_iterator([CAPTION, SPECIFY] * 4, trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    start = [("<s>", inner.token_to_id("<s>"))]
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=start)
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
        additional_special_tokens=["<image>"])


def picture():
    """Not square, with edges that a crop would lose."""
    y, x = np.mgrid[0:30, 0:45]
    rgb = np.stack([x * 5 % 256, y * 8 % 256, (x * y) % 256], -1).astype(np.uint8)
    rgb[:, :4] = [250, 20, 20]
    return Image.fromarray(rgb)


def main():
    words = tokenizer()
    eye = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4)
    text = dict(vocab_size=len(words), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=4, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=4)
    config = tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(image_size=SIDE, patch_size=PATCH, **eye), text_config=tf.LlamaConfig(**text),
        image_token_index=3, image_seq_length=(SIDE // PATCH) ** 2)
    config._attn_implementation = "eager"
    model = randomise(tf.LlavaForConditionalGeneration(config), 31)
    shutil.rmtree(OUT, ignore_errors=True)
    model.half().save_pretrained(OUT, safe_serialization=True)
    model = tf.LlavaForConditionalGeneration.from_pretrained(OUT, dtype=torch.float32, attn_implementation="eager").eval()
    words.save_pretrained(OUT)
    (OUT / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD, "size": SIDE}))
    image = picture()
    image.save(OUT / "picture.png")
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.BICUBIC), np.float32) / 255
    pixels = torch.from_numpy((pixels - np.float32(MEAN)) / np.float32(STD)).permute(2, 0, 1)[None]

    def answer(prompt, pixels=None):
        ids = [id for token in words(prompt)["input_ids"] for id in [token] * ((SIDE // PATCH) ** 2 if token == 3 else 1)]
        start, margin = len(ids), float("inf")
        with torch.no_grad():
            for _ in range(NEW):
                out = model(input_ids=torch.tensor([ids]), pixel_values=pixels, attention_mask=torch.ones(1, len(ids)))
                top = out.logits[0, -1].topk(2)
                margin = min(margin, float(top.values[0] - top.values[1]))
                ids.append(int(top.indices[0]))
        assert margin > 1e-3, margin
        return ids[start:]

    expected = {"caption": answer(CAPTION, pixels), "specification": answer(SPECIFY), "continued": answer(SPECIFY + TAKEN)}
    (OUT / "expected.json").write_text(json.dumps(expected))
    for path in sorted(OUT.iterdir()):
        print(path.name, path.stat().st_size)
    print(expected)


if __name__ == "__main__":
    main()
