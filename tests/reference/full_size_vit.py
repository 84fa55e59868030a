"""Random vision transformers of full size as timm writes them, and timm's tokens and seconds for one picture.

    python tests/reference/full_size_vit.py FOLDER [--threads 2] [--runs 3] [ARCHITECTURE ...]

writes FOLDER/ARCHITECTURE/ (config.json, model.safetensors, io.safetensors with `picture` [h, w, 3] bytes and `tokens` [patches, D]) for
DINOv2 S and B unless others are named, and prints the number of tensors and the seconds of a pass. `cargo run --release --example
full_size_vit -- FOLDER` compares. Nothing of it belongs in the repository: it takes 0.5 GB.

    python tests/reference/full_size_vit.py FOLDER --time

times the models that are in FOLDER, scikit-learn's PCA and K-means of their tokens, a cosine map by torch, and the starter backbone by
timm; prints model, what, seconds, one a line, as the example does. `scripts/bench features --against torch` runs both in turn.
"""

import argparse
import json
import time
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
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


def median(run, runs=3):
    """Seconds of a run, after one that warms up."""
    run()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[len(seconds) // 2]


def opened(folder):
    config = json.loads((folder / "config.json").read_text())
    model = timm.create_model(config["architecture"], **{"num_classes": 0, "dynamic_img_size": True, **config["model_args"]})
    model.load_state_dict({key: value.float() for key, value in load_file(folder / "model.safetensors").items()})
    return model.eval(), config


@torch.no_grad()
def time_all(folder, threads):
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    torch.set_num_threads(threads)
    for path in sorted(folder.iterdir()):
        if not (path / "io.safetensors").is_file():
            continue
        model, config = opened(path)
        io = load_file(path / "io.safetensors")
        pixels = vit.normalised(io["picture"].numpy(), config["pretrained_cfg"])
        print(path.name, "pass", f"{median(lambda: model.forward_features(pixels)):.6f}")
        tokens = io["tokens"].numpy()
        print(path.name, "pca", f"{median(lambda: PCA(3).fit_transform(tokens)):.6f}")
        clusters = KMeans(20, init="random", n_init=8, max_iter=100, random_state=123)
        print(path.name, "kmeans", f"{median(lambda: clusters.fit(tokens)):.6f}")
        grid = io["tokens"]
        print(path.name, "similarity", f"{median(lambda: torch.cosine_similarity(grid, grid[100:101]), 20):.6f}")
    model, config = opened(Path(__file__).resolve().parents[2] / "assets" / "starter" / "backbone")
    # What the example's sample picture becomes: 448 × 336 pixels.
    pixels = torch.randn(1, 3, 336, 448)
    print("starter pass", f"{median(lambda: model.forward_features(pixels)):.6f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("architectures", nargs="*", default=["vit_small_patch14_dinov2", "vit_base_patch14_dinov2"])
    parser.add_argument("--side", type=int, default=518)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    if options.time:
        time_all(options.folder, options.threads)
        return
    for architecture in options.architectures:
        build(options.folder / architecture, architecture, options.side, options.threads, options.runs)


if __name__ == "__main__":
    main()
