"""Random small vision transformers of every family that the Features lens reads, and what timm makes of a few pictures.

    python tests/reference/vit.py

writes tests/parity/fixtures/vit/NAME/: `config.json` as timm's own exporter writes it, `model.safetensors` (half precision; the reference
computes with exactly these values in f32) and `io.safetensors` with, for every picture I, `picture.I` [h, w, 3] bytes, `tokens.I`
[prefix + patches, D] after the final norm and, for picture 0, `layer.L` [prefix + patches, D] after block L (1 = first; 0 = what
enters the first block) without the norm and `normed.L` with it; in `dinov2` also `padded.picture`, whose sides are no multiples of the patch, and `padded.tokens`, which timm gives with
zeros added on the right and below. `vit/fit3d.pth` is a flat state dict as the FiT3D files are.

The pictures' grids are the native one, larger and smaller ones, and ones that are larger one way and smaller the other.
"""

import math
import shutil
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

ROOT = Path(__file__).resolve().parents[1] / "parity" / "fixtures" / "vit"

# name: (timm architecture, its arguments, grids (rows, columns) to look at)
FAMILIES = {
    "dinov2": ("vit_small_patch14_dinov2", dict(img_size=56, embed_dim=32, depth=3, num_heads=2), [(4, 4), (3, 5), (7, 6), (2, 3), (4, 6)]),
    "dinov2-reg": ("vit_small_patch14_reg4_dinov2", dict(img_size=56, embed_dim=32, depth=2, num_heads=2), [(4, 4), (5, 3), (2, 8), (6, 7)]),
    "dinov2-swiglu": ("vit_giant_patch14_dinov2", dict(img_size=42, embed_dim=24, depth=2, num_heads=2), [(3, 3), (2, 5)]),
    "clip": ("vit_base_patch16_clip_384", dict(img_size=64, embed_dim=32, depth=2, num_heads=2, num_classes=7), [(4, 4), (3, 5), (6, 5)]),
    "clip-quickgelu": ("vit_base_patch16_clip_quickgelu_224", dict(img_size=48, embed_dim=32, depth=2, num_heads=4), [(3, 3), (2, 4)]),
    "mae": ("vit_base_patch16_224", dict(img_size=48, embed_dim=32, depth=3, num_heads=2), [(3, 3), (4, 2), (5, 6)]),
    # A pooled head moves the last norm behind the pooling: the tokens then come without any.
    "pooled": ("vit_base_patch16_224", dict(img_size=48, embed_dim=24, depth=2, num_heads=2, num_classes=4, global_pool="avg"), [(3, 3), (3, 4)]),
    # The table of positions need not be square.
    "oblong": ("vit_small_patch16_224", dict(img_size=(48, 96), embed_dim=24, depth=2, num_heads=2), [(3, 6), (6, 3), (4, 5)]),
    "deit3": ("deit3_base_patch16_224", dict(img_size=48, embed_dim=32, depth=3, num_heads=2, num_classes=5), [(3, 3), (4, 2), (2, 6)]),
    "dinov3": ("vit_small_patch16_dinov3", dict(embed_dim=32, depth=3, num_heads=2), [(4, 4), (3, 5), (6, 2)]),
    "dinov3-bias": ("vit_small_patch16_dinov3_qkvb", dict(embed_dim=32, depth=2, num_heads=2), [(3, 4), (5, 3)]),
    "dinov3-split": ("vit_base_patch16_dinov3_qkvb", dict(embed_dim=24, depth=2, num_heads=2, qkv_fused=False), [(3, 4)]),
    "dinov3-plus": ("vit_small_plus_patch16_dinov3", dict(embed_dim=24, depth=2, num_heads=1), [(3, 4)]),
}


@torch.no_grad()
def randomise(model, seed):
    """Draws every parameter (values that half precision holds) so that one forgotten, swapped or misread tensor shows."""
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=draw)
        if name in ("cls_token", "reg_token", "pos_embed"):
            value = 0.7 * noise
        elif name.endswith("bias"):
            value = 0.1 * noise
        elif parameter.dim() == 1:
            value = 1 + 0.3 * noise
        else:
            value = noise / math.sqrt(parameter[0].numel())
        parameter.copy_(value.half().float())
    return model.eval()


def random_picture(height, width, seed):
    """Large shapes and fine grain: [height, width, 3] bytes."""
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


def normalised(picture, config):
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return (torch.from_numpy(picture).float().permute(2, 0, 1).unsqueeze(0) / 255 - mean) / std


@torch.no_grad()
def states(model, pixels):
    """The tokens that enter the first block and those after every block, without the final norm."""
    kept = []
    hooks = [model.blocks[0].register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0][0].clone()))]
    hooks += [block.register_forward_hook(lambda _, __, output: kept.append(output[0].clone())) for block in model.blocks]
    final = model.forward_features(pixels)[0]
    for hook in hooks:
        hook.remove()
    return kept, final


def write(name, seed):
    architecture, arguments, grids = FAMILIES[name]
    # Everything that shapes the network stands in the arguments, so that the exporter writes it down.
    model = randomise(timm.create_model(architecture, dynamic_img_size=True, **{"num_classes": 0, **arguments}), seed)
    folder = ROOT / name
    folder.mkdir(parents=True)
    save_for_hf(model, str(folder))
    (folder / "pytorch_model.bin").unlink()
    save_file({k: v.half().contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors", metadata={"format": "pt"})
    patch = model.patch_embed.patch_size[0]
    io = {}
    for index, (rows, columns) in enumerate(grids):
        picture = random_picture(rows * patch, columns * patch, 100 * seed + index)
        io[f"picture.{index}"] = torch.from_numpy(picture)
        kept, final = states(model, normalised(picture, model.pretrained_cfg))
        assert final.shape[0] == model.num_prefix_tokens + rows * columns
        io[f"tokens.{index}"] = final
        if index == 0:
            with torch.no_grad():
                for layer, tokens in enumerate(kept):
                    io[f"layer.{layer}"] = tokens
                    io[f"normed.{layer}"] = model.norm(tokens)
            # timm's own interface to inner layers gives the same tokens.
            inner = model.forward_intermediates(
                normalised(picture, model.pretrained_cfg), return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
            )
            for tokens, (patches, prefix) in zip(kept[1:], inner):
                assert torch.allclose(tokens, torch.cat([prefix, patches], 1)[0], atol=1e-5)
    if name == "dinov2":
        padding = timm.create_model(architecture, dynamic_img_size=True, dynamic_img_pad=True, num_classes=0, **arguments).eval()
        padding.load_state_dict(model.state_dict())
        picture = random_picture(3 * patch + 5, 4 * patch - 3, 4321)
        io["padded.picture"] = torch.from_numpy(picture)
        io["padded.tokens"] = states(padding, normalised(picture, model.pretrained_cfg))[1]
    save_file({k: v.contiguous().clone() for k, v in io.items()}, folder / "io.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {size / 1000:.0f} kB")


def write_fit3d(seed):
    """A fine-tuned checkpoint as FiT3D publishes them: a flat state dict in a pickle, no config beside it, 64 channels a head."""
    torch.manual_seed(seed)
    model = randomise(
        timm.create_model("vit_small_patch14_dinov2", img_size=42, embed_dim=64, depth=1, num_heads=1, num_classes=0, dynamic_img_size=True), seed
    )
    torch.save({k: v.half() for k, v in model.state_dict().items()}, ROOT / "fit3d.pth")
    io = {}
    for index, (rows, columns) in enumerate([(3, 3), (2, 4)]):
        picture = random_picture(rows * 14, columns * 14, 9000 + index)
        io[f"picture.{index}"] = torch.from_numpy(picture)
        io[f"tokens.{index}"] = states(model, normalised(picture, model.pretrained_cfg))[1]
    save_file({k: v.contiguous().clone() for k, v in io.items()}, ROOT / "fit3d.io.safetensors")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    for seed, name in enumerate(FAMILIES):
        write(name, seed + 1)
    write_fit3d(77)


if __name__ == "__main__":
    main()
