"""Random small DINOv2 and DINOv3 models in the layouts of the transformers library and of Meta's own files, and what transformers makes of
a few pictures.

    python tests/reference/vit_layouts.py

writes tests/parity/fixtures/vit_layouts/NAME/: `config.json` and `preprocessor_config.json` where the layout has them, `model.safetensors`
(half precision; the reference computes with exactly these values in f32) and `io.safetensors` with `picture.I` [h, w, 3] bytes and
`tokens.I` [prefix + patches, D] after the last norm.

Of DINOv2 only the native grid is asked for: transformers resamples the table of positions in another way than timm, which is what this
project follows at other sizes. DINOv3 has no table and is asked for several grids.

Meta's files have the same networks under other names (facebookresearch/dinov3, dinov3/models/vision_transformer.py and layers/): `qkv` in one
with a `bias_mask` that blanks the bias of the keys, `storage_tokens`, `mask_token`, `rope_embed.periods` in bfloat16's steps, and `w1`, `w2`,
`w3` for a gated feed-forward. They are written from the transformers model, with biases of keys that the mask has to blank.
"""

import json
import math
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel, DINOv3ViTConfig, DINOv3ViTModel

from vit import random_picture

ROOT = Path(__file__).resolve().parents[1] / "parity" / "fixtures" / "vit_layouts"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
DINOV3 = dict(SMALL, intermediate_size=64, image_size=64, num_register_tokens=4)
# name: (model, config, its arguments, grids (rows, columns))
FAMILIES = {
    "dinov2": (Dinov2Model, Dinov2Config, dict(SMALL, image_size=56, patch_size=14), [(4, 4)]),
    "dinov2-registers": (Dinov2WithRegistersModel, Dinov2WithRegistersConfig, dict(SMALL, image_size=42, patch_size=14, use_swiglu_ffn=True), [(3, 3)]),
    "dinov3": (DINOv3ViTModel, DINOv3ViTConfig, DINOV3, [(4, 4), (3, 5)]),
    "dinov3-gated": (DINOv3ViTModel, DINOv3ViTConfig, dict(DINOV3, use_gated_mlp=True, hidden_act="silu"), [(3, 5)]),
}


@torch.no_grad()
def randomise(model, seed):
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=draw)
        if "token" in name or "position" in name:
            value = 0.7 * noise
        elif name.endswith("bias"):
            value = 0.1 * noise
        elif parameter.dim() == 1:
            value = 1 + 0.3 * noise
        else:
            value = noise / math.sqrt(parameter[0].numel())
        parameter.copy_(value.half().float())
    return model.eval()


@torch.no_grad()
def look(model, grids, patch, seed):
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    io = {}
    for index, (rows, columns) in enumerate(grids):
        picture = torch.from_numpy(random_picture(rows * patch, columns * patch, 100 * seed + index))
        pixels = (picture.float().permute(2, 0, 1).unsqueeze(0) / 255 - mean) / std
        io[f"picture.{index}"] = picture
        io[f"tokens.{index}"] = model(pixel_values=pixels).last_hidden_state[0].contiguous()
    return io


def write(name, model, grids, seed):
    folder = ROOT / name
    folder.mkdir(parents=True)
    kept = [(module, module.inv_freq) for module in model.modules() if hasattr(module, "inv_freq")]
    model.half().save_pretrained(folder)
    model.float()
    for module, inverse in kept:
        # Computed, not stored: it must not go through half precision.
        module.inv_freq = inverse
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD, "do_normalize": True}, indent=2) + "\n")
    save_file(look(model, grids, model.config.patch_size, seed), folder / "io.safetensors")


def write_as_meta(name, model, grids, seed):
    """The same network under Meta's names, without any config, as its files are."""
    heads, width = model.config.num_attention_heads, model.config.hidden_size
    # Meta's periods went through bfloat16 in training; the file has them, and they are what counts.
    periods = (100 ** (torch.arange(0, width // heads // 4) * 4 / (width // heads))).bfloat16().float()
    model.rope_embeddings.inv_freq = 1 / periods
    state = {key.removeprefix("model."): value for key, value in model.state_dict().items()}
    draw = torch.Generator().manual_seed(seed)
    parts = {
        "patch_embed.proj": "embeddings.patch_embeddings", "norm": "norm",
    }
    own = {"cls_token": state["embeddings.cls_token"], "storage_tokens": state["embeddings.register_tokens"],
           "mask_token": torch.zeros(1, width), "rope_embed.periods": periods}
    own |= {f"{to}.{kind}": state[f"{of}.{kind}"] for to, of in parts.items() for kind in ("weight", "bias")}
    feedforward = {"w1": "gate_proj", "w2": "up_proj", "w3": "down_proj"} if model.config.use_gated_mlp else {"fc1": "up_proj", "fc2": "down_proj"}
    for block in range(model.config.num_hidden_layers):
        of, to = f"layer.{block}", f"blocks.{block}"
        layers = {"norm1": "norm1", "norm2": "norm2", "attn.proj": "attention.o_proj"} | {f"mlp.{a}": f"mlp.{b}" for a, b in feedforward.items()}
        own |= {f"{to}.{a}.{kind}": state[f"{of}.{b}.{kind}"] for a, b in layers.items() for kind in ("weight", "bias")}
        own |= {f"{to}.ls{n}.gamma": state[f"{of}.layer_scale{n}.lambda1"] for n in (1, 2)}
        own[f"{to}.attn.qkv.weight"] = torch.cat([state[f"{of}.attention.{part}_proj.weight"] for part in "qkv"])
        q, v = (state[f"{of}.attention.{part}_proj.bias"] for part in "qv")
        own[f"{to}.attn.qkv.bias"] = torch.cat([q, torch.randn(width, generator=draw), v])
        own[f"{to}.attn.qkv.bias_mask"] = torch.cat([torch.ones(width), torch.zeros(width), torch.ones(width)])
    folder = ROOT / name
    folder.mkdir(parents=True)
    half = {key: value if key == "rope_embed.periods" else value.half() for key, value in own.items()}
    save_file({key: value.contiguous() for key, value in half.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(look(model, grids, model.config.patch_size, seed), folder / "io.safetensors")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for seed, (name, (model, config, arguments, grids)) in enumerate(FAMILIES.items(), 31):
        model = randomise(model(config(**arguments)), seed)
        write(name, model, grids, seed)
        if model.config.model_type == "dinov3_vit":
            # Heads of 64 channels or periods in the file: either tells how many heads there are.
            write_as_meta(f"{name}-meta", model, grids, seed)
    for folder in sorted(ROOT.iterdir()):
        names = load_file(folder / "model.safetensors")
        print(f"{folder.name}: {len(names)} tensors, {sum(file.stat().st_size for file in folder.iterdir()) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
