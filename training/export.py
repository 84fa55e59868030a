"""Writes the trained models in the published layouts, fp16, with the reference libraries' own writers.

`python training/export.py editor CONFIG ASSETS [key=value]`, `python training/export.py language CONFIG ASSETS` and
`python training/export.py backbone CONFIG ASSETS`.
"""
import json
import os
import shutil
import sys

import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from transformers import CLIPTokenizer, PreTrainedTokenizerFast

from common import read_config


def editor_pack(cfg, out):
    import editor
    import vae as vae_module
    from bpe import Tokenizer
    from sane import scheduler

    tokenizer = Tokenizer(cfg["tokenizer"])
    unet, text = editor.build(cfg, tokenizer)
    state = editor.load(unet, text, cfg["out"] + "/state.pt")
    vae = vae_module.load(cfg.get("vae_checkpoint", "runs/vae/state.pt"), {"widths": cfg["vae_widths"], "scaling_factor": cfg["scaling_factor"]})
    unet.register_to_config(sample_size=cfg.get("sample_size", 32))
    vae.register_to_config(sample_size=8 * cfg.get("sample_size", 32))
    shutil.rmtree(out, ignore_errors=True)
    StableDiffusionInstructPix2PixPipeline(
        vae=vae.half(), text_encoder=text.half(), tokenizer=CLIPTokenizer.from_pretrained(cfg["tokenizer"]), unet=unet.half(), scheduler=scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False).save_pretrained(out, safe_serialization=True)
    # Other schedulers read the same file; without these two, DDIM would clip latents as if they were pixels.
    path = out + "/scheduler/scheduler_config.json"
    with open(path) as f:
        settings = json.load(f) | {"clip_sample": False, "set_alpha_to_one": False}
    with open(path, "w") as f:
        f.write(json.dumps(dict(sorted(settings.items())), indent=2) + "\n")
    # The published layout has vocab.json and merges.txt; newer writers leave them out.
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(f"{cfg['tokenizer']}/{name}", f"{out}/tokenizer/{name}")
    if os.path.exists(out + "/tokenizer/tokenizer.json"):
        os.remove(out + "/tokenizer/tokenizer.json")
    print("editor: step", state["step"], "samples", state["samples"], "minutes", state["spent"] / 60)


def language_pack(cfg, out):
    import language

    tokenizer = PreTrainedTokenizerFast.from_pretrained(cfg["out"] + "/tokenizer")
    model = language.build(cfg, tokenizer)
    state = torch.load(cfg["out"] + "/state.pt", weights_only=True)
    model.load_state_dict(state["ema"])
    model.generation_config.update(bos_token_id=1, eos_token_id=2, pad_token_id=4, max_new_tokens=96)
    shutil.rmtree(out, ignore_errors=True)
    model.half().save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)
    with open(out + "/preprocessor_config.json", "w") as f:
        json.dump({"crop_size": {"height": language.SIDE, "width": language.SIDE}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
                   "do_rescale": True, "do_resize": True, "image_mean": language.MEAN.tolist(), "image_std": language.STD.tolist(),
                   "image_processor_type": "CLIPImageProcessor", "resample": 3, "rescale_factor": 1 / 255, "size": {"shortest_edge": language.SIDE}}, f, indent=2)
    print("language: step", state["step"], "minutes", state["spent"] / 60)


def backbone_pack(cfg, out):
    import backbone
    from safetensors.torch import save_file
    from timm.layers import resample_abs_pos_embed
    from timm.models import save_for_hf

    state = torch.load(cfg["out"] + "/state.pt", weights_only=True)
    cfg |= {"native": cfg["published"]}
    vit = backbone.build(cfg)
    grid = cfg["native"] // backbone.PATCH
    state["ema"]["pos_embed"] = resample_abs_pos_embed(state["ema"]["pos_embed"], (grid, grid))
    vit.load_state_dict(state["ema"])
    os.makedirs(out, exist_ok=True)
    save_for_hf(vit, out, model_args=backbone.model_args(cfg), safe_serialization=True)
    save_file({k: v.half().contiguous() for k, v in vit.state_dict().items()}, out + "/model.safetensors", metadata={"format": "pt"})
    with open(out + "/config.json") as f:
        config = json.load(f)
    # What timm says of the architecture's published weights does not hold for these.
    side = cfg["native"]
    config["pretrained_cfg"] |= {"tag": "glassbox_starter", "license": "apache-2.0 or mit", "input_size": [3, side, side], "url": "", "hf_hub_id": None}
    with open(out + "/config.json", "w") as f:
        json.dump(config, f, indent=2)
        f.write("\n")
    if os.path.exists(out + "/pytorch_model.bin"):
        os.remove(out + "/pytorch_model.bin")
    print("backbone: step", state["step"], "pictures", state["samples"], "minutes", state["spent"] / 60)


def main():
    kind, path, assets = sys.argv[1:4]
    sys.argv = [sys.argv[0], path, *sys.argv[4:]]
    {"editor": editor_pack, "language": language_pack, "backbone": backbone_pack}[kind](read_config(path), assets)


if __name__ == "__main__":
    main()
