"""A random small Depth-Anything-V2 in both layouts it is published in, and the depth maps it gives for two oblong pictures.

    python tests/reference/depth_anything.py [CHECKOUT]
    python tests/reference/depth_anything.py --full-size FOLDER

The second form makes a random Depth-Anything-V2-S of full size in FOLDER, with one picture, its map and how long transformers took;
`GLASSBOX_DEPTH=FOLDER cargo test --lib full_size -- --ignored --nocapture` compares. The first
writes tests/parity/fixtures/depth_anything/: `config.json`, `preprocessor_config.json` and `model.safetensors` as the transformers library
writes them (half precision; the reference computes with exactly these values in f32), `names.json`, and `io.safetensors`:

- `picture.I` [h, w, 3] bytes,
- `depth.I` [h, w]: what transformers' DepthAnythingForDepthEstimation gives,
- `metric.I` [h, w]: the same with `depth_estimation_type` "metric" and `max_depth` 20,
- `meta.I` [h, w]: the same weights in the authors' own files (`depth_anything_v2_vits.pth`: `pretrained.*`, `depth_head.*`). Their code
  resamples the table of positions by another rule: the scale is (patches + 0.1) / side, where transformers takes patches / side.

`names.json` tells how a file under the authors' names is made of the same weights: their name, and the transformers names whose tensors it holds,
one below the other. With CHECKOUT, a folder with DepthAnything/Depth-Anything-V2, their own code is loaded with that file and has to agree.
"""

import json
import math
import shutil
import sys
import time
import types
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

from vit import random_picture

ROOT = Path(__file__).resolve().parents[1] / "parity" / "fixtures" / "depth_anything"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
GRIDS = [(3, 5), (4, 2)]
PATCH, SIDE, WIDTH, HEADS, DEPTH = 14, 4, 32, 2, 4
NECK, FUSION, HIDDEN = [6, 8, 10, 12], 8, 4
MAX_DEPTH = 20


@torch.no_grad()
def randomise(model, seed):
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=draw)
        if "token" in name or "position" in name:
            value = 0.7 * noise
        elif name == "head.conv3.bias":
            # Most of the map above zero, so that the last rectifier does not hide it.
            value = noise.abs() + 2
        elif name.endswith("bias"):
            value = 0.1 * noise
        elif parameter.dim() == 1:
            value = 1 + 0.3 * noise
        else:
            value = 1.4 * noise / math.sqrt(parameter[0].numel())
        parameter.copy_(value.half().float())
    return model.eval()


def author_names(stored):
    """Their name of every tensor, and the stored names it is made of."""
    def under(*ends):
        found = [name for name in stored if any(name.endswith(end) for end in ends)]
        assert len(found) == 1, (ends, found)
        return found
    names = {
        "pretrained.cls_token": under("embeddings.cls_token"),
        "pretrained.pos_embed": under("embeddings.position_embeddings"),
    }
    if any(name.endswith("mask_token") for name in stored):
        names["pretrained.mask_token"] = under("embeddings.mask_token")
    for kind in ("weight", "bias"):
        names[f"pretrained.patch_embed.proj.{kind}"] = under(f"patch_embeddings.projection.{kind}")
        names[f"pretrained.norm.{kind}"] = under(f"backbone.layernorm.{kind}")
        for block in range(DEPTH):
            of, to = f"layer.{block}.", f"pretrained.blocks.{block}."
            names[f"{to}attn.qkv.{kind}"] = [
                under(f"{of}attention.attention.{part}.{kind}", f"{of}attention.{part[0]}_proj.{kind}")[0] for part in ("query", "key", "value")
            ]
            names[f"{to}attn.proj.{kind}"] = under(f"{of}attention.output.dense.{kind}", f"{of}attention.o_proj.{kind}")
            for layer in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                names[f"{to}{layer}.{kind}"] = under(f"{of}{layer}.{kind}")
    for block in range(DEPTH):
        for scale in (1, 2):
            names[f"pretrained.blocks.{block}.ls{scale}.gamma"] = under(f"layer.{block}.layer_scale{scale}.lambda1")
    for index in range(4):
        stage, fusion = f"neck.reassemble_stage.layers.{index}", f"neck.fusion_stage.layers.{3 - index}"
        names[f"depth_head.scratch.layer{index + 1}_rn.weight"] = [f"neck.convs.{index}.weight"]
        for kind in ("weight", "bias"):
            names[f"depth_head.projects.{index}.{kind}"] = [f"{stage}.projection.{kind}"]
            if index != 2:
                names[f"depth_head.resize_layers.{index}.{kind}"] = [f"{stage}.resize.{kind}"]
            net = f"depth_head.scratch.refinenet{index + 1}"
            names[f"{net}.out_conv.{kind}"] = [f"{fusion}.projection.{kind}"]
            for unit in (1, 2):
                for conv in (1, 2):
                    names[f"{net}.resConfUnit{unit}.conv{conv}.{kind}"] = [f"{fusion}.residual_layer{unit}.convolution{conv}.{kind}"]
    for kind in ("weight", "bias"):
        for theirs, ours in (("output_conv1", "conv1"), ("output_conv2.0", "conv2"), ("output_conv2.2", "conv3")):
            names[f"depth_head.scratch.{theirs}.{kind}"] = [f"head.{ours}.{kind}"]
    used = [name for parts in names.values() for name in parts]
    assert sorted(used) == sorted(stored), set(stored) ^ set(used)
    return names


def positions_by_the_authors(embeddings, height, width):
    """Their rule for the table of positions, written out: torch takes the scale as it is given."""
    table = embeddings.position_embeddings.float()
    side = math.isqrt(table.shape[1] - 1)
    if height == width and (height // PATCH) == side:
        return table
    rows, columns = height // PATCH, width // PATCH
    grid = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, scale_factor=((rows + 0.1) / side, (columns + 0.1) / side), mode="bicubic", antialias=False)
    assert grid.shape[2:] == (rows, columns)
    return torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)], 1)


def authors_model(checkout, weights):
    """Their code with these weights. What it imports only to read pictures is left out."""
    sys.modules["cv2"] = types.SimpleNamespace(INTER_CUBIC=2, INTER_AREA=3, INTER_NEAREST=0)
    for name in ("torchvision", "torchvision.transforms"):
        sys.modules.setdefault(name, types.ModuleType(name))
    if not hasattr(sys.modules["torchvision.transforms"], "Compose"):
        sys.modules["torchvision.transforms"].Compose = object
    sys.path.insert(0, str(checkout))
    from functools import partial

    from depth_anything_v2.dinov2 import Block, DinoVisionTransformer, MemEffAttention
    from depth_anything_v2.dpt import DepthAnythingV2, DPTHead

    model = DepthAnythingV2.__new__(DepthAnythingV2)
    torch.nn.Module.__init__(model)
    model.encoder, model.intermediate_layer_idx = "vits", {"vits": [0, 1, 2, 3]}
    model.pretrained = DinoVisionTransformer(
        img_size=SIDE * PATCH, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, mlp_ratio=2, init_values=1.0,
        block_fn=partial(Block, attn_class=MemEffAttention), block_chunks=0, interpolate_antialias=False, interpolate_offset=0.1)
    model.depth_head = DPTHead(WIDTH, FUSION, out_channels=NECK)
    # Their head has 32 channels before the last layer, written into the code.
    model.depth_head.scratch.output_conv2[0] = torch.nn.Conv2d(FUSION // 2, HIDDEN, 3, padding=1)
    model.depth_head.scratch.output_conv2[2] = torch.nn.Conv2d(HIDDEN, 1, 1)
    model.load_state_dict(weights)
    return model.eval()


@torch.no_grad()
def full_size(folder):
    backbone = Dinov2Config(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14, out_indices=[3, 6, 9, 12],
        apply_layernorm=True, reshape_hidden_states=False)
    model = randomise(DepthAnythingForDepthEstimation(DepthAnythingConfig(backbone_config=backbone)), 7)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    picture = torch.from_numpy(random_picture(518, 686, 600))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    pixels = (picture.float().permute(2, 0, 1).unsqueeze(0) / 255 - mean) / std
    model(pixel_values=pixels)
    began = time.perf_counter()
    depth = model(pixel_values=pixels).predicted_depth[0].contiguous()
    print(f"{time.perf_counter() - began:.2f} s with {torch.get_num_threads()} threads, {depth.min():.3f} to {depth.max():.3f}")
    save_file({"picture.0": picture, "depth.0": depth}, folder / "io.safetensors")


@torch.no_grad()
def main():
    if sys.argv[1:2] == ["--full-size"]:
        return full_size(Path(sys.argv[2]))
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    backbone = Dinov2Config(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, mlp_ratio=2, image_size=SIDE * PATCH, patch_size=PATCH,
        out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False)
    config = DepthAnythingConfig(
        backbone_config=backbone, patch_size=PATCH, reassemble_hidden_size=WIDTH, neck_hidden_sizes=NECK, fusion_hidden_size=FUSION,
        head_hidden_size=HIDDEN, depth_estimation_type="relative")
    model = randomise(DepthAnythingForDepthEstimation(config), 5)
    model.half().save_pretrained(ROOT)
    model.float()
    processor = {"do_resize": True, "ensure_multiple_of": PATCH, "image_mean": MEAN, "image_std": STD, "keep_aspect_ratio": True,
                 "size": {"height": 56, "width": 56}}
    (ROOT / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    stored = load_file(ROOT / "model.safetensors")
    names = author_names(list(stored))
    (ROOT / "names.json").write_text(json.dumps(names, separators=(",", ":"), sort_keys=True) + "\n")

    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    io, inputs = {}, []
    for index, (rows, columns) in enumerate(GRIDS):
        picture = torch.from_numpy(random_picture(rows * PATCH, columns * PATCH, 500 + index))
        io[f"picture.{index}"] = picture
        inputs.append((picture.float().permute(2, 0, 1).unsqueeze(0) / 255 - mean) / std)
        io[f"depth.{index}"] = model(pixel_values=inputs[-1]).predicted_depth[0].contiguous()
    model.head.activation2, model.head.max_depth = torch.nn.Sigmoid(), MAX_DEPTH
    for index, pixels in enumerate(inputs):
        io[f"metric.{index}"] = model(pixel_values=pixels).predicted_depth[0].contiguous()
    model.head.activation2, model.head.max_depth = torch.nn.ReLU(), 1
    embeddings = model.backbone.embeddings
    embeddings.interpolate_pos_encoding = lambda _, height, width: positions_by_the_authors(embeddings, height, width)
    for index, pixels in enumerate(inputs):
        io[f"meta.{index}"] = model(pixel_values=pixels).predicted_depth[0].contiguous()
    for index in range(len(inputs)):
        depth = io[f"depth.{index}"]
        away = (depth - io[f"meta.{index}"]).norm() / depth.norm()
        print(f"picture {index}: {depth.min():.3f} to {depth.max():.3f}, {(depth == 0).float().mean():.0%} at zero, the two rules differ by {away:.1e}")
    save_file(io, ROOT / "io.safetensors")
    if len(sys.argv) > 1:
        weights = {theirs: torch.cat([stored[part].float() for part in parts]) for theirs, parts in names.items()}
        theirs = authors_model(Path(sys.argv[1]), weights)
        for index, pixels in enumerate(inputs):
            away = (theirs(pixels)[0] - io[f"meta.{index}"]).norm() / io[f"meta.{index}"].norm()
            print(f"picture {index}: the authors' code is {away:.1e} away")
            assert away < 1e-5
    print(f"{sum(file.stat().st_size for file in ROOT.iterdir()) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
