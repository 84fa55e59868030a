"""Lifts made-up features onto the Gaussians of a scene in closed form with torch, to be timed beside ours.

    python tests/reference/splat_lift.py VIEWS CHANNELS CAMERAS SCENE.ply [--threads N]

The formula of src/splats/lift.rs, f_i = Σ w_ip F_p / Σ w_ip with w = α T (spec/splats.md sections 2 and 4.4): every view is
drawn with 8 pixels a cell of the feature map; the Gaussians are projected all at once, and per tile of 16 × 16 pixels the
weights of its Gaussians are one matrix, made with `cumprod` and brought to the features with one matrix product. Prints the
figures of `cargo run --release --example splat_speed -- lift`: scene, what, seconds, and a sum that must agree.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

COLUMNS, ROWS, SIDE, PIXELS = 64, 36, 16, 8
NEAR, ALPHA_MAX, ALPHA_MIN, T_MIN = 0.01, 0.99, 1 / 255, 1e-4


def scene(path):
    """Positions, covariances [n, 3, 3] and opacities of a 3DGS .ply file."""
    data = Path(path).read_bytes()
    end = data.index(b"end_header\n") + len(b"end_header\n")
    names = [line.split()[-1] for line in data[:end].decode().splitlines() if line.startswith("property float ")]
    table = torch.from_numpy(np.frombuffer(data, np.float32, offset=end).reshape(-1, len(names)).copy())
    column = lambda *wanted: table[:, [names.index(name) for name in wanted]]
    w, x, y, z = torch.nn.functional.normalize(column("rot_0", "rot_1", "rot_2", "rot_3")).T
    turn = torch.stack([
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ], 1).view(-1, 3, 3)
    axes = turn * column("scale_0", "scale_1", "scale_2").exp()[:, None]
    return column("x", "y", "z"), axes, column("opacity")[:, 0].sigmoid()


def between(pixels, cells):
    """[pixels, cells]: how much of each cell a pixel's feature has, between the cells' middles."""
    at = ((torch.arange(pixels) + 0.5) / PIXELS - 0.5).clamp(0, cells - 1)
    low, high = at.floor().long(), at.ceil().long()
    shares = torch.zeros(pixels, cells)
    rows = torch.arange(pixels)
    shares[rows, low] += 1 - (at - low)
    shares[rows, high] += at - low
    return shares


def lift(views, dim, cameras, positions, axes, opacity):
    features = np.arange(COLUMNS * ROWS * dim, dtype=np.uint32) * np.uint32(2654435761) / np.float32(2**32)
    features = torch.from_numpy(features.astype(np.float32)).view(ROWS, COLUMNS, dim)
    width, height = COLUMNS * PIXELS, ROWS * PIXELS
    across, down = between(width, COLUMNS), between(height, ROWS)
    sums, weights = torch.zeros(len(positions), dim), torch.zeros(len(positions))
    for view in range(views):
        camera = cameras[view % len(cameras)]
        turn = torch.tensor(camera["rotation"], dtype=torch.float32).T
        eye = torch.tensor(camera["position"], dtype=torch.float32)
        zoom = height / camera["height"]
        fx, fy, cx, cy = camera["fx"] * zoom, camera["fy"] * zoom, width / 2, height / 2
        seen = (positions - eye) @ turn.T
        keep = (seen[:, 2] > NEAR) & (opacity >= ALPHA_MIN)
        index = keep.nonzero()[:, 0]
        seen = seen[index]
        z = seen[:, 2]
        limit = lambda size, focal, centre: ((size - centre) / focal + 0.3 * size / 2 / focal)
        clamped_x = (seen[:, 0] / z).clamp(-limit(width, fx, cx), limit(width, fx, cx))
        clamped_y = (seen[:, 1] / z).clamp(-limit(height, fy, cy), limit(height, fy, cy))
        zero = torch.zeros_like(z)
        jacobian = torch.stack([fx / z, zero, -fx * clamped_x / z, zero, fy / z, -fy * clamped_y / z], 1).view(-1, 2, 3)
        spread = jacobian @ (turn @ axes[index])
        covariance = spread @ spread.transpose(1, 2)
        xx, xy, yy = covariance[:, 0, 0] + 0.3, covariance[:, 0, 1], covariance[:, 1, 1] + 0.3
        determinant = xx * yy - xy * xy
        mean = torch.stack([fx * seen[:, 0] / z + cx, fy * seen[:, 1] / z + cy], 1)
        reach = (2 * (255 * opacity[index]).log()).sqrt().clamp(max=3.33)
        box = torch.stack([reach * xx.sqrt(), reach * yy.sqrt()], 1)
        inside = ((mean + box > 0) & (mean - box < torch.tensor([width, height]))).all(1) & (determinant > 0)
        order = inside.nonzero()[:, 0]
        order = order[z[order].argsort(stable=True)]
        index, mean, box, shown = index[order], mean[order], box[order], opacity[index[order]]
        conic = torch.stack([yy, -xy, xx], 1)[order] / determinant[order, None]
        low, high = ((mean - box) / SIDE).floor(), ((mean + box) / SIDE).floor()
        for row in range(height // SIDE):
            in_row = ((low[:, 1] <= row) & (high[:, 1] >= row)).nonzero()[:, 0]
            for column in range(width // SIDE):
                chosen = in_row[(low[in_row, 0] <= column) & (high[in_row, 0] >= column)]
                if not len(chosen):
                    continue
                dx = mean[chosen, 0, None, None] - (torch.arange(SIDE) + column * SIDE + 0.5)
                dy = mean[chosen, 1, None, None] - (torch.arange(SIDE) + row * SIDE + 0.5)[:, None]
                a, b, c = (part[:, None, None] for part in conic[chosen].T)
                sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
                alpha = (shown[chosen, None, None] * torch.exp(-sigma)).clamp(max=ALPHA_MAX)
                alpha[(alpha < ALPHA_MIN) | (sigma < 0)] = 0
                through = (1 - alpha).cumprod(0)
                before = torch.cat([torch.ones_like(through[:1]), through[:-1]])
                weight = alpha * before * (through > T_MIN)
                # Pixels to cells first: a few cells instead of 256 pixels meet the features.
                rows, columns = slice(row * SIDE, (row + 1) * SIDE), slice(column * SIDE, (column + 1) * SIDE)
                some_rows = down[rows].any(0).nonzero()[:, 0]
                some_columns = across[columns].any(0).nonzero()[:, 0]
                cells = down[rows][:, some_rows].T @ weight @ across[columns][:, some_columns]
                map_ = features[some_rows][:, some_columns].reshape(-1, dim)
                sums.index_add_(0, index[chosen], cells.flatten(1) @ map_)
                weights.index_add_(0, index[chosen], weight.sum((1, 2)))
    return torch.where(weights[:, None] > 0, sums / weights[:, None], 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("views", type=int)
    parser.add_argument("channels", type=int)
    parser.add_argument("cameras")
    parser.add_argument("scene")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cameras = json.loads(Path(arguments.cameras).read_text())
    parts = scene(arguments.scene)
    name = Path(arguments.scene).stem
    began = time.perf_counter()
    with torch.no_grad():
        features = lift(arguments.views, arguments.channels, cameras, *parts)
    print(f"{name} lift {time.perf_counter() - began:.6f}")
    print(f"{name} lift-sum {features.double().sum().item() / arguments.channels:.6f}")


if __name__ == "__main__":
    main()
