"""Random editors small enough to be kept in the repository, written in the published folder layout.

Every parameter is drawn at random, norms and biases too, so that a tensor that is forgotten, swapped or read with the wrong shape shows in
the output. The gains are chosen so that text and picture both move the noise prediction visibly.
"""

import json
import math
import re
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"

# What the small tokenizer's merges are learned from.
CORPUS = """
make it feel like winter put snow on the roofs turn the lake to ice make the sky overcast paint the car red
replace the old cars with new ones make it look like a photo from the seventies add a boat to the water
let it rain at night with lit windows and wet streets change the season to autumn with golden leaves
make the mountains higher and the grass greener turn the wooden fence white as if it were an oil painting
it's the driver's day don't let them leave we've seen they'll stay I'd rather not you're here I'm there
""".split()


def byte_symbols():
    """The printable character that byte-level BPE writes for each byte, in byte order of the published table."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    symbols = {b: chr(b) for b in printable}
    spare = 256
    for b in range(256):
        if b not in symbols:
            symbols[b] = chr(spare)
            spare += 1
    return symbols


def learn_merges(words, count):
    """Byte-pair merges with CLIP's end-of-word mark, most frequent pair first, ties in alphabetical order."""
    symbols = byte_symbols()
    split = {}
    for word in words:
        for piece in re.findall(r"'[a-z]+|[a-z]+|[^a-z\s]+", word.lower()):
            chars = [symbols[b] for b in piece.encode()]
            chars[-1] += "</w>"
            split[tuple(chars)] = split.get(tuple(chars), 0) + 1
    merges = []
    while len(merges) < count:
        pairs = {}
        for chars, n in split.items():
            for pair in zip(chars, chars[1:]):
                pairs[pair] = pairs.get(pair, 0) + n
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged = {}
        for chars, n in split.items():
            out, i = [], 0
            while i < len(chars):
                if chars[i : i + 2] == best:
                    out.append(chars[i] + chars[i + 1])
                    i += 2
                else:
                    out.append(chars[i])
                    i += 1
            merged[tuple(out)] = merged.get(tuple(out), 0) + n
        split = merged
    return merges


def write_tokenizer(folder, merge_count, length):
    """vocab.json, merges.txt and the two small files beside them; returns transformers' tokenizer for the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = list(byte_symbols().values())
    merges = learn_merges(CORPUS, merge_count)
    tokens = alphabet + [c + "</w>" for c in alphabet] + [a + b for a, b in merges] + [START, END]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    mark = lambda text: {"content": text, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "bos_token": {"__type": "AddedToken", **mark(START)},
            "do_lower_case": True,
            "eos_token": {"__type": "AddedToken", **mark(END)},
            "errors": "replace",
            "model_max_length": length,
            "pad_token": END,
            "tokenizer_class": "CLIPTokenizer",
            "unk_token": {"__type": "AddedToken", **mark(END)},
        },
    )
    write_json(
        folder / "special_tokens_map.json",
        {"bos_token": mark(START), "eos_token": mark(END), "pad_token": END, "unk_token": mark(END)},
    )
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    assert tokenizer.model_max_length == length, tokenizer.model_max_length
    return tokenizer


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@torch.no_grad()
def randomise(model, seed, gains=()):
    """Draws every parameter: weights with variance gain²/fan_in, norm weights around 1, biases around 0.

    `gains` is a list of (regular expression, gain); the first that matches a parameter's name applies, else 1.
    """
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=draw)
        gain = next((g for pattern, g in gains if re.search(pattern, name)), 1.0)
        if name.endswith("bias"):
            value = 0.1 * noise
        elif parameter.dim() == 1:
            value = 1 + 0.2 * noise
        elif "embedding" in name and "time" not in name:
            value = noise
        else:
            value = noise * gain / math.sqrt(parameter[0].numel())
        parameter.copy_(value)
    return model.eval()


# Residual branches are kept smaller than the stem, so that depth doesn't drown the input; the cross attention is kept strong.
UNET_GAINS = [
    (r"attn2\.to_out", 2.0),
    (r"attn2\.to_q|attn2\.to_k", 1.5),
    (r"conv2|ff\.net\.2|attn1\.to_out|proj_out", 0.6),
    (r"^conv_out", 1.0),
]
VAE_GAINS = [(r"conv2", 0.7), (r"encoder\.conv_out", 1.0), (r"decoder\.conv_out", 0.5)]
TEXT_GAINS = [(r"out_proj|fc2", 0.7), (r"q_proj|k_proj", 1.5)]


def new_unet(seed, **config):
    return randomise(UNet2DConditionModel(**config), seed, UNET_GAINS)


def new_vae(seed, **config):
    return randomise(AutoencoderKL(**config), seed, VAE_GAINS)


def new_text_encoder(seed, tokenizer, **config):
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=1,
        **config,
    )
    return randomise(CLIPTextModel(config), seed, TEXT_GAINS)


def old_attention_names(tensors):
    """The names that the mid blocks' attention had when the editors were published."""
    rename = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    out = {}
    for name, tensor in tensors.items():
        for new, old in rename.items():
            name = name.replace(f"mid_block.attentions.0.{new}.", f"mid_block.attentions.0.{old}.")
        out[name] = tensor
    return out


def prefixed_text_names(tensors, positions):
    """Published text encoders carry `text_model.` and the position ids."""
    out = {name if name.startswith("text_model.") else f"text_model.{name}": t for name, t in tensors.items()}
    out["text_model.embeddings.position_ids"] = torch.arange(positions).unsqueeze(0)
    return out


def unprefixed_text_names(tensors):
    return {name.removeprefix("text_model."): t for name, t in tensors.items()}


def save_network(path, tensors, dtype=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    convert = lambda t: t.to(dtype) if dtype is not None and t.is_floating_point() else t
    save_file({k: convert(t).contiguous().clone() for k, t in tensors.items()}, path, metadata={"format": "pt"})


def config_of(model, only=None):
    """The configuration as the library writes it, without the machine-specific keys; `only` keeps an older file's few keys."""
    config = json.loads(model.to_json_string()) if hasattr(model, "to_json_string") else model.config.to_dict()
    config = {k: v for k, v in config.items() if k not in ("_name_or_path", "transformers_version", "torch_dtype", "dtype")}
    if only is not None:
        config = {k: v for k, v in config.items() if k in only or k.startswith("_")}
    return config


def round_to_half(model):
    """Makes every parameter a value that half precision holds exactly."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return model


def random_picture(height, width, seed):
    """A picture with large shapes and fine grain: [height, width, 3], 0…255."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    channels = []
    for _ in range(3):
        fx, fy, phase = draw.uniform(-0.25, 0.25), draw.uniform(-0.25, 0.25), draw.uniform(0, 6.28)
        plane = 0.5 + 0.35 * np.sin(fx * x + fy * y + phase)
        cx, cy, r = draw.uniform(0, width), draw.uniform(0, height), draw.uniform(0.15, 0.4) * min(height, width)
        plane[(x - cx) ** 2 + (y - cy) ** 2 < r * r] += draw.uniform(-0.5, 0.5)
        channels.append(plane + draw.normal(0, 0.05, plane.shape))
    return (np.clip(np.stack(channels, -1), 0, 1) * 255).round().astype(np.uint8)


def to_input(picture):
    """[h, w, 3] bytes to [1, 3, h, w] in -1…1."""
    return torch.from_numpy(np.asarray(picture)).float().permute(2, 0, 1).unsqueeze(0) / 255 * 2 - 1


class Editor:
    """The networks of a folder, with what the loop needs of them."""

    def __init__(self, folder, unet, vae, text_encoder, tokenizer):
        self.folder, self.unet, self.vae, self.text_encoder, self.tokenizer = Path(folder), unet, vae, text_encoder, tokenizer

    def double(self):
        import copy

        copies = [copy.deepcopy(m).double() for m in (self.unet, self.vae, self.text_encoder)]
        return Editor(self.folder, *copies, self.tokenizer)

    @property
    def dtype(self):
        return next(self.unet.parameters()).dtype

    def token_ids(self, texts):
        return self.tokenizer(
            texts, padding="max_length", max_length=self.tokenizer.model_max_length, truncation=True, return_tensors="pt"
        ).input_ids

    @torch.no_grad()
    def embed(self, texts):
        return self.text_encoder(self.token_ids(texts), attention_mask=None)[0]

    @torch.no_grad()
    def encode(self, picture):
        return self.vae.encode(picture.to(self.dtype)).latent_dist.mode()

    @torch.no_grad()
    def decode(self, latents):
        return self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0]


def write_editor(folder, *, tokenizer, unet, vae, text_encoder, scheduler, half=(), old_vae=False, prefix=True,
                 unet_keys=None, vae_keys=None):
    """Writes the folder and returns the Editor whose numbers it stands for. `half` names components stored as fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in (("unet", unet), ("vae", vae), ("text_encoder", text_encoder)):
        if name in half:
            round_to_half(model)
    dtype = lambda name: torch.float16 if name in half else None
    write_json(folder / "unet" / "config.json", config_of(unet, unet_keys))
    save_network(folder / "unet" / "diffusion_pytorch_model.safetensors", unet.state_dict(), dtype("unet"))
    write_json(folder / "vae" / "config.json", config_of(vae, vae_keys))
    tensors = vae.state_dict()
    save_network(folder / "vae" / "diffusion_pytorch_model.safetensors", old_attention_names(tensors) if old_vae else tensors, dtype("vae"))
    config = config_of(text_encoder)
    config["architectures"] = ["CLIPTextModel"]
    write_json(folder / "text_encoder" / "config.json", config)
    tensors = text_encoder.state_dict()
    tensors = prefixed_text_names(tensors, tokenizer.model_max_length) if prefix else unprefixed_text_names(tensors)
    save_network(folder / "text_encoder" / "model.safetensors", tensors, dtype("text_encoder"))
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionInstructPix2PixPipeline",
            "_diffusers_version": "0.12.0",
            "feature_extractor": [None, None],
            "requires_safety_checker": False,
            "safety_checker": [None, None],
            "scheduler": ["diffusers", scheduler["_class_name"]],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )
    return Editor(folder, unet, vae, text_encoder, tokenizer)
