"""Writes the trained models in the published layouts, fp16, with the reference libraries' own writers.

`python training/export.py editor CONFIG ASSETS [key=value]` and `python training/export.py language CONFIG ASSETS`.
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


def main():
    kind, path, assets = sys.argv[1:4]
    sys.argv = [sys.argv[0], path, *sys.argv[4:]]
    (editor_pack if kind == "editor" else language_pack)(read_config(path), assets)


if __name__ == "__main__":
    main()
