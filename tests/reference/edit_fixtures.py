"""Makes the fixtures of the Edit lens; see README.md in this folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import sane_loop
import tiny_models as tiny

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent / "parity" / "fixtures" / "edit"
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)

COMMON = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}

# As the first published editor has it: no spacing named, leftovers of another solver.
EULER_ANCESTRAL = {
    "_class_name": "EulerAncestralDiscreteScheduler", "_diffusers_version": "0.12.0", **COMMON, "prediction_type": "epsilon",
    "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True, "trained_betas": None,
    "algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint", "lower_order_final": True, "thresholding": False,
    "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0,
}
# As the MagicBrush editors have it: another class and leading spacing.
PNDM_LEADING = {
    "_class_name": "PNDMScheduler", "_diffusers_version": "0.19.0", **COMMON, "clip_sample": False, "prediction_type": "epsilon",
    "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "timestep_spacing": "leading", "trained_betas": None,
}
TRAILING_V = {
    "_class_name": "EulerAncestralDiscreteScheduler", "_diffusers_version": "0.30.0", **COMMON, "prediction_type": "v_prediction",
    "steps_offset": 0, "timestep_spacing": "trailing", "rescale_betas_zero_snr": False, "clip_sample": False, "set_alpha_to_one": False,
}


def classic():
    """The published shape in miniature: four levels, eight channels in, 1x1 projections, old names, 77 tokens."""
    folder = ROOT / "folders" / "classic"
    tokenizer = tiny.write_tokenizer(folder / "tokenizer", 160, 77)
    return tiny.write_editor(
        folder,
        tokenizer=tokenizer,
        unet=tiny.new_unet(
            11, sample_size=8, in_channels=8, out_channels=4, block_out_channels=(8, 8, 16, 16), layers_per_block=2,
            attention_head_dim=2, cross_attention_dim=12, norm_num_groups=4,
        ),
        vae=tiny.new_vae(
            12, block_out_channels=(4, 4, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2, norm_num_groups=2, sample_size=64,
        ),
        text_encoder=tiny.new_text_encoder(
            13, tokenizer, hidden_size=12, intermediate_size=24, num_hidden_layers=2, num_attention_heads=3, hidden_act="quick_gelu",
        ),
        scheduler=EULER_ANCESTRAL,
        old_vae=True,
        prefix=True,
        vae_keys=("act_fn", "block_out_channels", "down_block_types", "in_channels", "latent_channels", "layers_per_block",
                  "norm_num_groups", "out_channels", "sample_size", "up_block_types"),
    )


def odd():
    """Three levels of odd widths, other heads on each level, linear projections, two transformer layers in the middle level."""
    folder = ROOT / "folders" / "odd"
    tokenizer = tiny.write_tokenizer(folder / "tokenizer", 90, 24)
    return tiny.write_editor(
        folder,
        tokenizer=tokenizer,
        unet=tiny.new_unet(
            21, sample_size=[9, 13], in_channels=8, out_channels=4, block_out_channels=(9, 12, 15), layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            attention_head_dim=[3, 4, 5], cross_attention_dim=20, norm_num_groups=3, use_linear_projection=True,
            transformer_layers_per_block=[1, 2, 1], norm_eps=1e-6,
        ),
        vae=tiny.new_vae(
            22, block_out_channels=(6, 9, 9), down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
            layers_per_block=1, norm_num_groups=3, sample_size=36, scaling_factor=0.31,
        ),
        text_encoder=tiny.new_text_encoder(
            23, tokenizer, hidden_size=20, intermediate_size=36, num_hidden_layers=3, num_attention_heads=5, hidden_act="gelu",
            layer_norm_eps=1e-6,
        ),
        scheduler=PNDM_LEADING,
        prefix=False,
    )


def blocks():
    """Two levels, attention only in the second, sines before cosines, UNet kept in half precision, no quantisation convolutions."""
    folder = ROOT / "folders" / "blocks"
    tokenizer = tiny.write_tokenizer(folder / "tokenizer", 120, 16)
    return tiny.write_editor(
        folder,
        tokenizer=tokenizer,
        unet=tiny.new_unet(
            31, sample_size=16, in_channels=8, out_channels=4, block_out_channels=(16, 24), layers_per_block=[1, 2],
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=4, cross_attention_dim=16, norm_num_groups=8, flip_sin_to_cos=False, freq_shift=1,
        ),
        vae=tiny.new_vae(
            32, block_out_channels=(8, 12), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1, norm_num_groups=4, sample_size=32, use_quant_conv=False, use_post_quant_conv=False,
        ),
        text_encoder=tiny.new_text_encoder(
            33, tokenizer, hidden_size=16, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, hidden_act="quick_gelu",
        ),
        scheduler=TRAILING_V,
        half=("unet",),
        prefix=True,
    )


def network_io(name, editor, seed, sizes):
    """Inputs and outputs of the three networks of a folder. `sizes`: picture (H, W), latents (h, w) and batch of the UNet."""
    draw = torch.Generator().manual_seed(seed)
    texts = ["Make it feel like winter", "", "put snow on the roofs, please", "a very long wish " * 30]
    io = {"token_ids": editor.token_ids(texts).to(torch.int64), "text_embeddings": editor.embed(texts)}
    picture = tiny.to_input(tiny.random_picture(*sizes["picture"], seed))
    io["picture"] = picture
    io["image_latents"] = editor.encode(picture)
    io["latents"] = torch.randn(2, editor.vae.config.latent_channels, *sizes["latents"], generator=draw)
    with torch.no_grad():
        io["decoded"] = editor.vae.decode(io["latents"], return_dict=False)[0]
    timesteps = [999.0, 964.551724, 361.7, 67.0, 1.0, 0.0]
    unet = editor.unet
    io["unet.sample"] = torch.randn(len(texts), unet.config.in_channels, *sizes["latents"], generator=draw)
    io["unet.text"] = io["text_embeddings"]
    io["unet.timesteps"] = torch.tensor(timesteps)
    for i, t in enumerate(io["unet.timesteps"]):
        with torch.no_grad():
            io[f"unet.output.{i}"] = unet(io["unet.sample"], t, encoder_hidden_states=io["unet.text"], return_dict=False)[0]
    path = ROOT / "networks" / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous().clone() for k, v in io.items()}, path)
    report(f"network {name}", io)


def single_unet(name, seed, size, text_length, **config):
    unet = tiny.new_unet(seed, **config)
    folder = ROOT / "unets" / name
    tiny.write_json(folder / "config.json", tiny.config_of(unet))
    tiny.save_network(folder / "weights.safetensors", unet.state_dict())
    draw = torch.Generator().manual_seed(seed)
    widths = unet.config.cross_attention_dim
    width = widths if isinstance(widths, int) else widths[0]
    io = {
        "sample": torch.randn(2, unet.config.in_channels, *size, generator=draw),
        "text": torch.randn(2, text_length, width, generator=draw),
        "timesteps": torch.tensor([981.25, 3.5]),
    }
    for i, t in enumerate(io["timesteps"]):
        with torch.no_grad():
            io[f"output.{i}"] = unet(io["sample"], t, encoder_hidden_states=io["text"], return_dict=False)[0]
    save_file(io, folder / "io.safetensors")
    report(f"unet {name}", io)


def single_vae(name, seed, picture, **config):
    vae = tiny.new_vae(seed, **config)
    folder = ROOT / "vaes" / name
    tiny.write_json(folder / "config.json", tiny.config_of(vae))
    tiny.save_network(folder / "weights.safetensors", vae.state_dict())
    io = {"picture": tiny.to_input(tiny.random_picture(*picture, seed))}
    with torch.no_grad():
        io["image_latents"] = vae.encode(io["picture"]).latent_dist.mode()
        io["decoded"] = vae.decode(io["image_latents"], return_dict=False)[0]
    save_file({k: v.contiguous().clone() for k, v in io.items()}, folder / "io.safetensors")
    report(f"vae {name}", io)


def report(title, tensors):
    print(title, {k: f"{tuple(v.shape)} sd {v.float().std():.3f}" for k, v in tensors.items() if v.numel() > 1})


def relative(a, b):
    return float((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-12))


INSTRUCTION = "Make it feel like winter"
SPECIFICS = ["put snow on the roofs", "turn the lake to ice", "make the sky overcast", "add a boat to the water", "paint the car red"]


def run(name, editor, scheduler, size, count, steps, seed, scales=(7.5, 7.5, 1.5), options=None):
    """One whole edit with `count` specific instructions; `size` is the picture's (H, W).

    A choice between two instructions that lies within rounding says nothing about an implementation, so draws with such a choice, or in which
    single and double precision choose differently, are passed over.
    """
    for attempt in range(40):
        if run_once(name, editor, scheduler, size, count, steps, seed + 1000 * attempt, scales, options or {}):
            return
    raise SystemExit(f"{name}: no draw without a tie")


def closest_choice(trace, steps, count):
    """The smallest lead of a winning instruction over the next, as a share of the noise prediction's root mean square."""
    leads = [1.0]
    for i in range(steps if count > 1 else 0):
        eps = trace[f"eps.{i}"].double()
        push = (eps[3:] - eps[1:2]).abs().topk(2, dim=0).values
        leads.append(float((push[0] - push[1]).min() / eps.pow(2).mean().sqrt()))
    return min(leads)


def run_once(name, editor, scheduler, size, count, steps, seed, scales, options):
    config = json.loads((editor.folder / "scheduler" / "scheduler_config.json").read_text())
    config.update(options)
    picture = tiny.random_picture(*size, seed)
    factor = 2 ** (len(editor.vae.config.block_out_channels) - 1)
    shape = (1, editor.vae.config.latent_channels, size[0] // factor, size[1] // factor)
    draw = torch.Generator().manual_seed(seed)
    noise = {"init": torch.randn(shape, generator=draw), "steps": torch.randn((steps, *shape), generator=draw)}
    text_scale, specific_scale, image_scale = scales
    specifics = SPECIFICS[:count]
    make = lambda: sane_loop.make_scheduler(scheduler, config)
    loop = lambda e: sane_loop.sane(
        e, make(), tiny.to_input(picture), INSTRUCTION, specifics, steps, noise, text_scale, specific_scale, image_scale
    )
    trace = loop(editor)
    double = loop(editor.double())
    strays = {key: relative(trace[key], double[key]) for key in ("eps.0", f"latents.{steps - 1}", "decoded")}
    flips = sum(int((trace[k] != double[k]).sum()) for k in trace if k.startswith("selection."))
    assert all(torch.isfinite(t).all() for t in trace.values()), name
    if flips > 0 or closest_choice(trace, steps, count) < 1e-6 or max(strays.values()) > 5e-5:
        return False
    if count == 0:
        seen, image = sane_loop.instruct_pix2pix(
            editor, make(), picture, INSTRUCTION, steps, noise, text_scale, image_scale
        )
        for i, latents in enumerate(seen):
            assert relative(latents, trace[f"latents.{i}"]) < 1e-5, (name, i, relative(latents, trace[f"latents.{i}"]))
        ours = (trace["decoded"] / 2 + 0.5).clamp(0, 1)
        assert relative(image, ours) < 1e-5, (name, "decoded")
    folder = ROOT / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(folder / "source.png")
    save_file(noise, folder / "noise.safetensors")
    save_file(trace, folder / "trace.safetensors")
    tiny.write_json(
        folder / "run.json",
        {
            "folder": editor.folder.name, "scheduler": scheduler, "scheduler_config": config, "scheduler_options": options,
            "instruction": INSTRUCTION, "specifics": specifics, "steps": steps, "guidance_scale": text_scale,
            "specific_guidance_scale": specific_scale, "image_guidance_scale": image_scale,
            "double_precision_difference": strays,
        },
    )
    pushes = [relative(trace[f"eps.{i}"][0], trace[f"eps.{i}"][1]) for i in (0, steps - 1)]
    print(f"run {name}: strays {max(strays.values()):.1e}, text moves eps by {pushes}, last latents sd {trace[f'latents.{steps - 1}'].std():.2f}, "
          f"decoded sd {trace['decoded'].std():.2f}, seed {seed}")
    return True


def tokens(editors):
    texts = [
        "", " ", "make it feel like winter", "Make It Feel Like WINTER!", "it's the driver's day, don't leave", "they'll we've I'd you're",
        "  two   spaces\tand\ttabs\nand lines  ", "snow on the roofs... and ice?!", "a (small) red-car, 1920s style & 3 boats",
        "fa\u00e7ade caf\u00e9 na\u00efve \u00dcberraschung", "cafe\u0301 decomposed", "\u0417\u0438\u043c\u0430 \u0432 \u0433\u043e\u0440\u043e\u0434\u0435",
        "\u03a7\u03b5\u03b9\u03bc\u03ce\u03bd\u03b1\u03c2 \u03a3\u03a3", "\u51ac\u306b\u3057\u3066", "\U0001f3d4\ufe0f snow \U0001f697", "\u00bd \u2460 \u0663 x\u00b2", "under_score and#hash @at 100%",
        "<|endoftext|> inside a text", "\u0130stanbul \u01c5", "wish " * 120,
    ]
    out = {"texts": texts, "folders": {}}
    for editor in editors:
        tokenizer = editor.tokenizer
        out["folders"][editor.folder.name] = {
            "padded": [ids.tolist() for ids in editor.token_ids(texts)],
            "unpadded_lengths": [len(tokenizer(t, truncation=True, max_length=tokenizer.model_max_length).input_ids) for t in texts],
        }
    path = ROOT / "tokens.json"
    path.write_text(json.dumps(out, ensure_ascii=True) + "\n")


def main():
    if ROOT.exists():
        shutil.rmtree(ROOT)
    a, b, c = classic(), odd(), blocks()
    tokens([a, b, c])
    network_io("classic", a, 101, {"picture": (64, 80), "latents": (8, 12)})
    network_io("odd", b, 102, {"picture": (36, 52), "latents": (9, 13)})
    network_io("blocks", c, 103, {"picture": (24, 32), "latents": (7, 10)})
    single_unet(
        "shifted", 41, (6, 7), 5, in_channels=8, out_channels=4, block_out_channels=(8, 12, 12), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=[1, 2, 4], cross_attention_dim=[10, 10, 10],
        norm_num_groups=4, resnet_time_scale_shift="scale_shift", downsample_padding=0, act_fn="gelu", conv_in_kernel=5, conv_out_kernel=1,
    )
    single_unet(
        "no-middle", 42, (5, 8), 3, in_channels=4, out_channels=4, block_out_channels=(10, 15), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        mid_block_type=None, attention_head_dim=5, cross_attention_dim=6, norm_num_groups=5, transformer_layers_per_block=2,
        center_input_sample=True, time_embedding_dim=28,
    )
    single_vae(
        "no-attention", 51, (28, 20), block_out_channels=(4, 6), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=2, norm_num_groups=2, mid_block_add_attention=False, latent_channels=3,
    )
    run("ancestral-linspace-k3", a, "EulerAncestralDiscreteScheduler", (64, 64), 3, 30, 201)
    run("ancestral-linspace-k0", a, "EulerAncestralDiscreteScheduler", (64, 96), 0, 5, 202)
    run("ancestral-leading-k1", b, "EulerAncestralDiscreteScheduler", (36, 52), 1, 6, 203)
    run("ancestral-leading-k0", b, "EulerAncestralDiscreteScheduler", (36, 52), 0, 6, 204)
    run("ancestral-trailing-v-k5", c, "EulerAncestralDiscreteScheduler", (32, 48), 5, 4, 205)
    run("ancestral-zero-snr-v-k3", c, "EulerAncestralDiscreteScheduler", (16, 24), 3, 4, 206, options={"rescale_betas_zero_snr": True})
    run("euler-linspace-k3", a, "EulerDiscreteScheduler", (64, 64), 3, 6, 207, scales=(5.0, 3.0, 1.2))
    run("euler-leading-k0", b, "EulerDiscreteScheduler", (36, 52), 0, 5, 208)
    run("euler-trailing-v-k1", c, "EulerDiscreteScheduler", (16, 24), 1, 5, 209)
    run("ddim-leading-k3", b, "DDIMScheduler", (36, 52), 3, 6, 210)
    run("ddim-default-k0", a, "DDIMScheduler", (64, 64), 0, 5, 211)
    run("ddim-trailing-v-k1", c, "DDIMScheduler", (16, 24), 1, 5, 212)
    run("dpm-linspace-k3", a, "DPMSolverMultistepScheduler", (64, 64), 3, 8, 213)
    run("dpm-leading-k0", b, "DPMSolverMultistepScheduler", (36, 52), 0, 16, 214)
    run("dpm-karras-k1", a, "DPMSolverMultistepScheduler", (64, 64), 1, 8, 215, options={"use_karras_sigmas": True})
    run("dpm-karras-v-k3", c, "DPMSolverMultistepScheduler", (16, 24), 3, 18, 216, options={"use_karras_sigmas": True})
    total = sum(f.stat().st_size for f in ROOT.rglob("*") if f.is_file())
    print(f"{total / 1e6:.2f} MB in {sum(1 for f in ROOT.rglob('*') if f.is_file())} files")


if __name__ == "__main__":
    main()
