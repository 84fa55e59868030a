"""A random small depth head of training/depth.py and what it computes, for src/nets/depth_head.rs.

    python tests/reference/depth_head.py

writes tests/parity/fixtures/depth_head.safetensors: the weights under `head.*`, `tokens` [6, 8] of 2 × 3 patches, `pixels`
[1, 3, 28, 42], `log_distance` and `surface` [8, 12].
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "training"))
from depth import DepthHead  # noqa: E402

torch.manual_seed(3)
head = DepthHead(8, 6).eval()
tokens, pixels = torch.randn(6, 8), torch.randn(1, 3, 28, 42)
with torch.no_grad():
    log_distance, surface = head(tokens.T.reshape(1, 8, 2, 3), pixels)
tensors = {"head." + name: value.contiguous() for name, value in head.state_dict().items()}
tensors |= {"tokens": tokens, "pixels": pixels, "log_distance": log_distance[0].contiguous(), "surface": surface[0].contiguous()}
save_file(tensors, ROOT / "tests/parity/fixtures/depth_head.safetensors")
