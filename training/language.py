"""Trains the starter captioner and specifier: one small model in the llava-hf layout (CLIP tower, projector, Llama).

Two tasks in one model, told apart by the prompt (see `caption_prompt` and `specify_prompt`, which the app repeats
letter by letter). Only the answer is trained on.
"""
import glob
import json
import os
import sys
import time

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from common import Average, Log, Muon, read_config, save_whole, schedule

SIDE, PATCH = 112, 14
PLACES = (SIDE // PATCH) ** 2  # image tokens: the class token is dropped
MEAN, STD = np.array([0.48145466, 0.4578275, 0.40821073], np.float32), np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def caption_prompt():
    return "USER: <image>\nDescribe the picture in one sentence. ASSISTANT:"


def specify_prompt(caption, wish, k):
    return f"USER: Picture: {caption}\nWish: {wish}\nWrite {k} instructions, one per line. ASSISTANT:"


def make_tokenizer(texts, size, folder):
    """Byte-level BPE with Llama's special tokens, saved as tokenizer.json and tokenizer_config.json."""
    t = Tokenizer(models.BPE(unk_token=None))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<unk>", "<s>", "</s>", "<image>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", t.token_to_id("<s>"))])
    fast = PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
                                   additional_special_tokens=["<image>"], model_max_length=512, padding_side="left")
    fast.chat_template = (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}USER: {% if m['content'] is string %}{{ m['content'] }}"
        "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %} "
        "{% else %}ASSISTANT: {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    fast.save_pretrained(folder)
    return fast


def build(cfg, tokenizer):
    w, v = cfg["width"], cfg["vision_width"]
    text = LlamaConfig(vocab_size=len(tokenizer), hidden_size=w, intermediate_size=cfg["mlp"], num_hidden_layers=cfg["layers"], num_attention_heads=w // 32,
                       num_key_value_heads=w // 32, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=4, rms_norm_eps=1e-5)
    vision = CLIPVisionConfig(hidden_size=v, intermediate_size=3 * v, num_hidden_layers=cfg["vision_layers"], num_attention_heads=v // 32, image_size=SIDE,
                              patch_size=PATCH, projection_dim=v)
    return LlavaForConditionalGeneration(LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=3, projector_hidden_act="gelu", vision_feature_select_strategy="default",
        vision_feature_layer=-2, image_seq_length=PLACES, tie_word_embeddings=False))


def pixels(images):
    """u8 [n, 112, 112, 3] -> normalised f32 [n, 3, 112, 112]."""
    return torch.from_numpy(((np.asarray(images, np.float32) / 255 - MEAN) / STD)).permute(0, 3, 1, 2).contiguous()


def shrink(image):
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.BICUBIC))


class Samples:
    """Captioned pictures and specification texts, tokenised."""

    def __init__(self, cfg, tokenizer):
        self.rng = np.random.default_rng(cfg["seed"] + int(time.time()))
        self.t = tokenizer
        self.lines = [json.loads(line) for p in sorted(glob.glob(cfg["texts"])) for line in open(p)]
        self.pictures, self.captions = [], []
        for path in sorted(p for g in cfg["images"] for p in glob.glob(g)):
            images = np.load(path, mmap_mode="r")
            for line in open(path.replace("images-", "meta-").replace(".npy", ".jsonl")):
                s = json.loads(line)
                self.pictures.append(shrink(np.array(images[s["source"]])))
                self.captions.append([s["caption"], *s["captions"]] if s.get("captions") else [s["caption"]])
        print(len(self.lines), "specifications,", len(self.pictures), "captioned pictures", flush=True)

    def pack(self, prompts, answers):
        rows = []
        for p, a in zip(prompts, answers):
            head = self.t(p)["input_ids"]
            head = [y for x in head for y in ([x] * PLACES if x == 3 else [x])]
            tail = self.t(" " + a, add_special_tokens=False)["input_ids"] + [2]
            rows.append((head, tail))
        length = max(len(h) + len(a) for h, a in rows)
        ids, labels, mask = np.full((len(rows), length), 4), np.full((len(rows), length), -100), np.zeros((len(rows), length), int)
        for i, (h, a) in enumerate(rows):
            n = len(h) + len(a)
            ids[i, :n], labels[i, len(h) : n], mask[i, :n] = h + a, a, 1
        return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels), "attention_mask": torch.from_numpy(mask)}

    def specify(self, n):
        picks = [self.lines[i] for i in self.rng.integers(0, len(self.lines), n)]
        picks.sort(key=lambda s: len(s["caption"]))
        return self.pack([specify_prompt(s["caption"], s["wish"], len(s["lines"])) for s in picks], ["\n".join(s["lines"]) for s in picks])

    def caption(self, n):
        picks = self.rng.integers(0, len(self.pictures), n)
        images = [self.pictures[i][:, :: -1 if self.rng.random() < 0.5 else 1] for i in picks]
        texts = [self.captions[i][self.rng.integers(len(self.captions[i]))] for i in picks]
        return self.pack([caption_prompt()] * n, texts) | {"pixel_values": pixels(images)}


def main():
    cfg = read_config()
    folder = cfg["out"] + "/tokenizer"
    if not os.path.exists(folder):
        texts = [t for p in sorted(glob.glob(cfg["texts"])) for line in open(p) for s in [json.loads(line)]
                 for t in (specify_prompt(s["caption"], s["wish"], len(s["lines"])) + " " + "\n".join(s["lines"]), caption_prompt())]
        make_tokenizer(texts[:40000], cfg["vocabulary"], folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = build(cfg, tokenizer)
    print("parameters (M):", sum(p.numel() for p in model.parameters()) / 1e6)
    optimiser = Muon(list(model.named_parameters()), cfg["lr_muon"], cfg["lr_adam"], cfg.get("weight_decay", 0.01))
    average = Average([model], cfg["ema"])
    log, step, spent = Log(cfg["out"], "language"), 0, 0.0
    state_path = cfg["out"] + "/state.pt"
    if os.path.exists(state_path):
        s = torch.load(state_path, weights_only=True)
        model.load_state_dict(s["model"])
        optimiser.load_state_dict(s["optimiser"])
        average.load_state_dict(s["average"])
        step, spent = s["step"], s["spent"]
    samples = Samples(cfg, tokenizer)
    model.train()
    began = saved = time.time()
    while True:
        now = time.time()
        progress = (spent + now - began) / (cfg["minutes"] * 60)
        stop = progress >= 1 or os.path.exists(cfg["out"] + "/stop")
        if stop or now - saved > 180:
            average.swap()
            ema = {k: v.clone() for k, v in model.state_dict().items()}
            average.swap()
            saved = time.time()
            log.report(step, progress=round(progress, 3))
            save_whole({"model": model.state_dict(), "ema": ema, "optimiser": optimiser.state_dict(), "average": average.state_dict(),
                        "step": step, "spent": spent + saved - began, "config": json.dumps(cfg)}, state_path)
            if stop:
                return
        picture = samples.pictures and samples.rng.random() < cfg["caption_share"]
        batch = samples.caption(cfg["batch_caption"]) if picture else samples.specify(cfg["batch_specify"])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        optimiser.step(schedule(progress))
        average.update()
        step += 1
        log.add(loss=loss.item())
        log.sums["caption" if picture else "specify"] = loss.item() * log.n
        if step % 25 == 0:
            print(step, round(progress, 3), {k: round(v / log.n, 3) for k, v in log.sums.items()}, round(now - began), flush=True)


if __name__ == "__main__":
    main()
