"""Random vision transformers of full size as timm writes them, and timm's tokens and seconds for one picture.

    python tests/reference/full_size_vit.py FOLDER [--threads 2] [--runs 3] [ARCHITECTURE ...]

writes FOLDER/ARCHITECTURE/ (config.json, model.safetensors, io.safetensors with `picture` [h, w, 3] bytes and `tokens` [patches, D]) for
DINOv2 S and B unless others are named, and prints the number of tensors and the seconds of a pass. `cargo run --release --example
full_size_vit -- FOLDER` compares. Nothing of it belongs in the repository: it takes 0.5 GB.
"""

import argparse
import time
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

import vit

# Tensors of the published files (spec/fit3d.md section 5.3), heads left out.
EXPECTED = {"vit_small_patch14_dinov2": 174, "vit_base_patch14_dinov2": 174, "vit_small_patch14_reg4_dinov2": 175}


@torch.no_grad()
def build(folder, architecture, side, threads, runs):
    torch.manual_seed(3)
    model = timm.create_model(architecture, num_classes=0, dynamic_img_size=True)
    vit.randomise(model, 3)
    folder.mkdir(parents=True, exist_ok=True)
    save_for_hf(model, str(folder), safe_serialization=True)
    count = len(model.state_dict())
    assert count == EXPECTED.get(architecture, count), count
    patch = model.patch_embed.patch_size[0]
    side = side // patch * patch
    picture = vit.random_picture(side, side, 7)
    pixels = vit.normalised(picture, model.pretrained_cfg)
    torch.set_num_threads(threads)
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        tokens = model.forward_features(pixels)
        seconds.append(time.perf_counter() - start)
    tokens = tokens[0, model.num_prefix_tokens :]
    save_file({"picture": torch.from_numpy(picture), "tokens": tokens.contiguous().clone()}, folder / "io.safetensors")
    print(f"{architecture}: {count} tensors, {side} px, {len(tokens)} patches, {threads} threads, seconds {[round(s, 3) for s in seconds]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("architectures", nargs="*", default=["vit_small_patch14_dinov2", "vit_base_patch14_dinov2"])
    parser.add_argument("--side", type=int, default=518)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for architecture in options.architectures:
        build(options.folder / architecture, architecture, options.side, options.threads, options.runs)


if __name__ == "__main__":
    main()
