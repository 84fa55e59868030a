"""Random scenes of 3D Gaussians seen by random cameras, in double precision: projection and spherical harmonics by
gsplat's own torch functions, the blend by spec/splats.md section 2 step 9 written out (gsplat's blend needs CUDA).

    python tests/reference/splats.py [NAME SCALE]      (gsplat 1.5.3, torch; no CUDA needed)

writes tests/parity/fixtures/splats/NAME.safetensors, one scene each:

- the scene: `positions` [n, 3], `log_scales` [n, 3], `rotations` [n, 4] (w x y z, not normalised), `opacity_logits` [n],
  `sh` [n, K, 3], `values` [n, C]; `antialiased` [1]
- per view I: `camera.I` [14] float64: rotation (world to camera, row by row), translation, and then `lens.I` [6] float64: fx fy cx cy width height
- `centres.I` [n, 2], `conics.I` [n, 3], `depths.I` [n], `opacities.I` [n] (compensated where the scene is antialiased),
  `colours.I` [n, 3], `kept.I` [n] (1 where step 7 keeps the Gaussian)
- `picture.I` [h, w, 3], `alpha.I`, `depth.I` (expected), `median.I`, `count.I` [h, w], `normals.I` [h, w, 3], `blended.I` [h, w, C]
"""

import sys
from pathlib import Path

import numpy as np
import torch
from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci, _quat_to_rotmat, _spherical_harmonics
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[1] / "parity" / "fixtures" / "splats"
ALPHA_MAX, ALPHA_MIN, T_MIN = 0.99, 1 / 255, 1e-4


def look_at(eye, target, roll=0.0):
    eye, target = np.asarray(eye, float), np.asarray(target, float)
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, -1, 0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    rotation = np.stack([c * right + s * down, -s * right + c * down, forward])
    return rotation, -rotation @ eye


def scene(draw, n, degree, channels=0, spread=1.0, scale=(-2.6, 0.6), centre=(0, 0, 0)):
    k = (degree + 1) ** 2
    sh = draw.normal(size=(n, k, 3)) * np.where(np.arange(k) == 0, 1.2, 0.25)[None, :, None]
    parts = {
        "positions": draw.normal(size=(n, 3)) * spread + np.asarray(centre),
        "log_scales": draw.normal(size=(n, 3)) * scale[1] + scale[0],
        "rotations": draw.normal(size=(n, 4)),
        "opacity_logits": draw.normal(size=n) * 2.0 + 0.5,
        "sh": sh,
        "values": draw.normal(size=(n, channels)) * 3,
    }
    return {name: values.astype(np.float32) for name, values in parts.items()}


def view(parts, antialiased, camera, keep_footprints):
    rotation, translation, (fx, fy, cx, cy), (width, height) = camera
    p = {name: torch.from_numpy(values.astype(np.float64)) for name, values in parts.items()}
    n, degree = len(p["positions"]), int(np.sqrt(p["sh"].shape[1])) - 1
    scales = p["log_scales"].exp()
    covariances, _ = _quat_scale_to_covar_preci(p["rotations"], scales, True, False)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3], pose[:3, 3] = torch.from_numpy(rotation), torch.from_numpy(translation)
    lens = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)
    _, means, depths, conics, compensations = _fully_fused_projection(
        p["positions"], covariances, pose[None], lens[None], width, height, eps2d=0.3, near_plane=0.01, far_plane=1e10, calc_compensations=True
    )
    means, depths, conics, compensations = (x[0].numpy() for x in (means, depths, conics, compensations))
    eye = -rotation.T @ translation
    colours = _spherical_harmonics(degree, p["positions"] - torch.from_numpy(eye), p["sh"])
    colours = (colours + 0.5).clamp(min=0).numpy()
    opacities = torch.sigmoid(p["opacity_logits"]).numpy()
    invisible = opacities < ALPHA_MIN
    if antialiased:
        opacities = opacities * np.maximum(compensations, 0.005)
    a, b, c = conics.T
    determinant = a * c - b * b
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = np.minimum(3.33, np.sqrt(2 * np.log(255 * opacities)))
        extent = np.stack([reach * np.sqrt(c / determinant), reach * np.sqrt(a / determinant)], 1)
        kept = (depths > 0.01) & (depths < 1e10) & (opacities >= ALPHA_MIN) & ~invisible & (determinant > 0)
        kept &= (means + extent > 0).all(1) & (means - extent < [width, height]).all(1)
    # The shortest axis, turned towards the camera.
    axes = _quat_to_rotmat(p["rotations"]).numpy()
    shortest = axes[np.arange(n), :, p["log_scales"].numpy().argmin(1)] @ rotation.T
    seen = p["positions"].numpy() @ rotation.T + translation
    shortest *= np.where((shortest * seen).sum(1, keepdims=True) > 0, -1, 1)

    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    light = np.ones((height, width))
    going = np.ones((height, width), bool)
    channels = np.concatenate([colours, shortest, p["values"].numpy()], 1)
    sums = np.zeros((height, width, channels.shape[1]))
    depth, alpha_sum, median, count = (np.zeros((height, width)) for _ in range(4))
    order = np.argsort(depths.astype(np.float32), kind="stable")
    for i in order[kept[order]]:
        dx, dy = means[i, 0] - x, means[i, 1] - y
        sigma = 0.5 * (a[i] * dx * dx + c[i] * dy * dy) + b[i] * dx * dy
        alpha = np.minimum(ALPHA_MAX, opacities[i] * np.exp(-sigma))
        takes = going & (sigma >= 0) & (alpha >= ALPHA_MIN)
        after = light * (1 - alpha)
        stops = takes & (after <= T_MIN)
        going &= ~stops
        takes &= ~stops
        weight = np.where(takes, alpha * light, 0)
        sums += weight[..., None] * channels[i]
        depth += weight * depths[i]
        alpha_sum += weight
        count += takes
        median = np.where(takes & (light >= 0.5) & (after < 0.5), depths[i], median)
        light = np.where(takes, after, light)
    found = {
        "picture": sums[..., :3],
        "normals": sums[..., 3:6],
        "blended": sums[..., 6:],
        "alpha": 1 - light,
        "depth": np.where(alpha_sum > 0, depth / np.maximum(alpha_sum, 1e-30), 0),
        "median": median,
        "count": count,
    }
    if keep_footprints:
        found |= {"centres": means, "conics": conics, "depths": depths, "opacities": opacities, "colours": colours, "kept": kept}
    found = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in found.items() if values.size}
    found["camera"] = np.concatenate([rotation.ravel(), translation])
    found["lens"] = np.array([fx, fy, cx, cy, width, height], float)
    return found


def write(name, parts, cameras, antialiased=False, root=ROOT):
    tensors = {key: values for key, values in parts.items() if values.size}
    tensors["antialiased"] = np.array([float(antialiased)], np.float32)
    for index, camera in enumerate(cameras):
        for key, values in view(parts, antialiased, camera, keep_footprints=True).items():
            tensors[f"{key}.{index}"] = values
    root.mkdir(parents=True, exist_ok=True)
    save_file(tensors, root / f"{name}.safetensors")
    print(name, (root / f"{name}.safetensors").stat().st_size, "bytes,", " ".join(f"{tensors[f'alpha.{i}'].mean():.2f}" for i in range(len(cameras))))


def lens(width, height, degrees, squeeze=1.0, shift=(0, 0)):
    f = 0.5 * height / np.tan(np.radians(degrees) / 2)
    return (f, f * squeeze, width / 2 + shift[0], height / 2 + shift[1]), (width, height)


def camera(eye, target, roll, *lens_):
    return (*look_at(eye, target, roll), *lens_)


def main(root=ROOT, scale=1):
    draw = np.random.default_rng(20261124)
    s = scale
    parts = scene(draw, 280 * s, 0, channels=5)
    write("plain", parts, [camera((0.5, -1, -4), (0, 0, 0), 0, *lens(68 * s, 40 * s, 50)), camera((3, 1, 2), (0, 0.2, 0), 0.4, *lens(33 * s, 47 * s, 60))], root=root)

    # A principal point off the middle, pixels that are not square, and a camera in the midst of the scene: Gaussians
    # behind it, across its planes and right before it.
    parts = scene(draw, 400 * s, 1)
    write("inside", parts, [camera((0.1, 0.05, -0.3), (1, 0.3, 0.2), -0.2, *lens(64 * s, 48 * s, 80, 1.3, (7.3 * s, -4.1 * s))), camera((0, 0, 0), (-1, -0.4, 0.1), 0, *lens(50 * s, 50 * s, 100))], root=root)

    # Large ones far beyond the border, needles, plates, dots under a pixel, the invisible and the opaque.
    parts = scene(draw, 360 * s, 2, scale=(-3.0, 0.4))
    n = len(parts["positions"])
    parts["log_scales"][: n // 6] = draw.normal(size=(n // 6, 3)) * 0.6
    parts["positions"][: n // 6] *= 3
    parts["log_scales"][n // 6 : n // 3] = np.stack([draw.uniform(-1, 1.5, n // 3 - n // 6), *draw.uniform(-9, -6, (2, n // 3 - n // 6))], 1)
    parts["log_scales"][n // 3 : n // 2, 2] = -12
    parts["log_scales"][n // 2 : 2 * n // 3] = draw.uniform(-12, -7, (2 * n // 3 - n // 2, 3))
    parts["opacity_logits"][::9] = draw.uniform(-7, -4.5, len(parts["opacity_logits"][::9]))
    parts["opacity_logits"][: n // 6] = draw.uniform(-4.5, -1.5, n // 6)
    parts["opacity_logits"][4::9] = draw.uniform(6, 30, len(parts["opacity_logits"][4::9]))
    extremes = parts
    cameras = [camera((1, -2, -5), (0.2, 0, 0), 0.1, *lens(64 * s, 44 * s, 55)), camera((0.4, 0.3, 1.2), (0, -0.2, -1), 0, *lens(48 * s, 40 * s, 70))]
    write("extremes", parts, cameras, root=root)
    write("antialiased", {**extremes, "sh": extremes["sh"][:, :1].copy()}, cameras[:1], antialiased=True, root=root)

    # All bands of the harmonics, features of a width that no vector divides, far away from the origin.
    away = np.array([2048.0, -1024.0, 512.0])
    parts = scene(draw, 260 * s, 3, channels=11, centre=away, scale=(-2.0, 0.5))
    write("far", parts, [camera(away + (0, -1, -4), away, 0, *lens(56 * s, 40 * s, 50))], root=root)


if __name__ == "__main__":
    main(*([Path(sys.argv[1]), int(sys.argv[2])] if len(sys.argv) > 2 else []))
