"""FiT3D's maps (spec/fit3d.md section 4) of a random feature grid, by scikit-learn and by its rules written out.

    python tests/reference/features.py

writes tests/parity/fixtures/features.safetensors:

- `tokens` [h·w, D], `shape` [2]: a grid of features with a large common part, a few strong directions and noise, as ViT tokens have them
- `pca.components` [3, D], `pca.explained` [3], `pca.scores` [h·w, 3]: scikit-learn's full decomposition; `pca.map` [h, w, 3]: the paper's colours
- `shared.scores` [h·w, 3]: the first rows' half of the same grid in the basis fitted to it twice beside the second half
- `kmeans.starts` [8, K], `kmeans.labels` [h·w], `kmeans.spread`, `kmeans.winner`: torch_kmeans' rule (cosine assignment, plain means, an
  empty cluster becomes zero, 8 restarts, the smallest Euclidean spread wins) from those first centres
- `euclidean.spread`: scikit-learn's KMeans of as many clusters, for scale
- `resize.picture` [H, W, 3] bytes, `resize.input` [1, 3, h, w]: ImageNet-normalised, then bilinear without antialiasing to whole patches
  of 14 (torch's own)
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

ROOT = Path(__file__).resolve().parents[1] / "parity" / "fixtures"
HEIGHT, WIDTH, DIM, CLUSTERS, RESTARTS = 13, 17, 48, 6, 8


def features(draw):
    """Smooth regions in feature space over the grid, a large mean, and noise."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / 10.0
    sources = [np.sin(2 * x + y), np.cos(3 * y - x), np.tanh(4 * (x - 0.8)), np.tanh(3 * (y - 0.6)), np.sin(5 * x) * np.cos(4 * y)]
    directions = draw.normal(size=(len(sources), DIM)) * np.array([3.0, 2.2, 1.6, 1.1, 0.7])[:, None]
    tokens = np.stack([s.ravel() for s in sources], 1) @ directions + 4 * draw.normal(size=DIM) + 0.25 * draw.normal(size=(HEIGHT * WIDTH, DIM))
    return tokens.astype(np.float32)


def paper_map(scores):
    scaled = (scores - scores.min()) / (scores.max() - scores.min()) * 255
    return scaled.reshape(HEIGHT, WIDTH, 3).astype(np.uint8)


def torch_kmeans_rule(tokens, start):
    """One restart, in double precision. Returns labels and the Euclidean spread."""
    x = tokens.astype(np.float64)
    unit = lambda a: a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-12)
    centres = x[start]
    for _ in range(100):
        labels = np.argmax(unit(x) @ unit(centres).T, 1)
        moved = np.stack([x[labels == k].mean(0) if (labels == k).any() else np.zeros(x.shape[1]) for k in range(len(start))])
        shift = np.linalg.norm(moved - centres, axis=1).mean()
        centres = moved
        if shift < 1e-4:
            break
    labels = np.argmax(unit(x) @ unit(centres).T, 1)
    return labels, ((x - centres[labels]) ** 2).sum()


def resize(draw):
    height, width = 45, 61
    picture = draw.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    pixels = (torch.from_numpy(picture).permute(2, 0, 1).unsqueeze(0).float() / 255 - mean) / std
    size = (height // 14 * 14, width // 14 * 14)
    return torch.from_numpy(picture), torch.nn.functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False)


def main():
    draw = np.random.default_rng(5)
    tokens = features(draw)
    pca = PCA(3, svd_solver="full").fit(tokens)
    scores = pca.transform(tokens)
    half = tokens[: 6 * WIDTH]
    shared = PCA(3, svd_solver="full").fit(np.concatenate([half, half, tokens[6 * WIDTH :]]))
    starts = np.stack([draw.permutation(len(tokens))[:CLUSTERS] for _ in range(RESTARTS)])
    runs = [torch_kmeans_rule(tokens, start) for start in starts]
    winner = int(np.argmin([spread for _, spread in runs]))
    spreads = sorted(spread for _, spread in runs)
    print("spreads of the restarts:", [f"{spread:.4g}" for spread in spreads])
    euclidean = KMeans(CLUSTERS, n_init=8, random_state=0).fit(tokens).inertia_
    picture, pixels = resize(draw)
    real = lambda a: torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))
    save_file(
        {
            "tokens": torch.from_numpy(tokens),
            "shape": torch.tensor([HEIGHT, WIDTH], dtype=torch.int64),
            "pca.components": real(pca.components_),
            "pca.explained": real(pca.explained_variance_ratio_),
            "pca.scores": real(scores),
            "pca.map": torch.from_numpy(paper_map(scores)),
            "shared.scores": real(shared.transform(half)),
            "kmeans.starts": torch.from_numpy(starts.astype(np.int64)),
            "kmeans.labels": torch.from_numpy(runs[winner][0].astype(np.int64)),
            "kmeans.spread": real([runs[winner][1]]),
            "kmeans.winner": torch.tensor([winner], dtype=torch.int64),
            "euclidean.spread": real([euclidean]),
            "resize.picture": picture,
            "resize.input": pixels.contiguous(),
        },
        ROOT / "features.safetensors",
    )
    print(f"{(ROOT / 'features.safetensors').stat().st_size / 1000:.0f} kB; euclidean {euclidean:.4g}")


if __name__ == "__main__":
    main()
