"""Makes tests/parity/fixtures/compvis_names.json: for every tensor of a small Stable-Diffusion-1.5-shaped model, its name
in a CompVis single file, its name in diffusers layout (as diffusers' own converter gives it), and its shape.

Run from the repository's root with diffusers and transformers installed. The CompVis names are written here by hand from
the module structure of the original code; the script stops unless diffusers' converter turns them into exactly the
tensors of its own models.
"""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as single
from transformers import CLIPTextConfig, CLIPTextModel

unet = UNet2DConditionModel(
    in_channels=8, block_out_channels=(32, 64, 64, 64), layers_per_block=2, cross_attention_dim=64, attention_head_dim=8,
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
)
vae = AutoencoderKL(block_out_channels=(32, 32, 64, 64), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4,
                    up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4)
text = CLIPTextModel(CLIPTextConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=128, vocab_size=100))

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def unet_name(name):
    p = name.split(".")
    if p[0] == "time_embedding":
        return f"time_embed.{ {'linear_1': 0, 'linear_2': 2}[p[1]] }.{p[2]}"
    if p[0] in ("conv_in", "conv_norm_out", "conv_out"):
        return {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}[p[0]] + "." + p[1]
    if p[0] == "mid_block":
        at = {"resnets": 2 * int(p[2]), "attentions": 1}[p[1]]
        return f"middle_block.{at}." + (".".join([RESNET[p[3]], p[4]]) if p[1] == "resnets" else ".".join(p[3:]))
    b, kind, j, rest = int(p[1]), p[2], int(p[3]), p[4:]
    if kind == "resnets":
        rest = [RESNET[rest[0]], rest[1]]
    if p[0] == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{3 * b + 3}.0.op.{rest[1]}"
        return f"input_blocks.{1 + 3 * b + j}.{ {'resnets': 0, 'attentions': 1}[kind] }." + ".".join(rest)
    if kind == "upsamplers":
        return f"output_blocks.{3 * b + 2}.{1 if b == 0 else 2}.conv.{rest[1]}"
    return f"output_blocks.{3 * b + j}.{ {'resnets': 0, 'attentions': 1}[kind] }." + ".".join(rest)


def vae_name(name):
    p = name.split(".")
    if len(p) == 2 or p[1] in ("conv_in", "conv_out"):
        return name
    if p[1] == "conv_norm_out":
        return f"{p[0]}.norm_out.{p[2]}"
    if p[1] == "mid_block":
        if p[2] == "attentions":
            inner = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}[p[4]]
            return f"{p[0]}.mid.attn_1.{inner}.{p[-1]}"
        return f"{p[0]}.mid.block_{int(p[3]) + 1}." + ".".join(p[4:])
    b = int(p[2])
    if p[0] == "decoder":
        b = 3 - b
    side = {"encoder": "down", "decoder": "up"}[p[0]]
    if p[3].endswith("samplers"):
        return f"{p[0]}.{side}.{b}.{side}sample.conv.{p[-1]}"
    return f"{p[0]}.{side}.{b}.block.{p[4]}." + ".".join(p[5:]).replace("conv_shortcut", "nin_shortcut")


rows = []


def add(prefix, model, naming, convert):
    tensors = model.state_dict()
    stored = {}
    for name, tensor in tensors.items():
        # The attention's matrices are 1x1 convolutions in the VAE's original.
        conv = "first_stage" in prefix and "attn_1" in naming(name) and tensor.dim() == 2
        stored[prefix + naming(name)] = tensor[:, :, None, None].clone() if conv else tensor.clone()
    back = convert(dict(stored))
    assert set(back) == set(tensors), sorted(set(back) ^ set(tensors))[:5]
    for name, tensor in tensors.items():
        assert torch.equal(back[name].reshape(tensor.shape), tensor), name
        compvis = prefix + naming(name)
        rows.append([compvis, name, list(stored[compvis].shape)])


add("model.diffusion_model.", unet, unet_name, lambda t: single.convert_ldm_unet_checkpoint(t, dict(unet.config)))
add("first_stage_model.", vae, vae_name, lambda t: single.convert_ldm_vae_checkpoint(t, dict(vae.config)))
prefix = "cond_stage_model.transformer."
for name, tensor in text.state_dict().items():
    name = name if name.startswith("text_model.") else "text_model." + name
    rows.append([prefix + name, name, list(tensor.shape)])
Path("tests/parity/fixtures/compvis_names.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
print(len(rows))
