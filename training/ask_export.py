"""Writes the Ask model in the published FlexAttention layout, fp16: `python training/ask_export.py CONFIG ASSETS [key=value]`.

With `scores=PATH` the held-out evaluation is run on all of the held-out pictures and kept there as JSON.
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file

import ask
from ask_tiles import MEAN, STD
from common import read_config


def main():
    path, out = sys.argv[1:3]
    sys.argv = [sys.argv[0], path, *sys.argv[3:]]
    cfg = read_config(path)
    decoder, tokenizer, tower, shape, packer = ask.prepare(cfg)
    state = torch.load(cfg["out"] + "/state.pt", weights_only=True)
    decoder.load_state_dict(state["ema"])
    os.makedirs(out, exist_ok=True)
    tensors = dict(decoder.state_dict())
    for name, value in tower.clip.state_dict().items():
        name = name.removeprefix("vision_model.")
        if f"layers.{shape['layers'] - 1}." not in name and "position_ids" not in name and "post_layernorm" not in name:
            tensors["model.vision_tower.vision_tower.vision_model." + name] = value
    save_file({k: v.half().contiguous() for k, v in tensors.items()}, out + "/model.safetensors", metadata={"format": "pt"})
    lowres = shape["side"]
    config = {
        "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava", "vocab_size": len(tokenizer), "hidden_size": cfg["width"],
        "intermediate_size": cfg["mlp"], "num_hidden_layers": cfg["layers"], "num_attention_heads": cfg["width"] // 32,
        "num_key_value_heads": cfg["width"] // 32, "hidden_act": "silu", "rms_norm_eps": 1e-5, "max_position_embeddings": 1024, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 4, "torch_dtype": "float16", "image_aspect_ratio": "pad",
        "mm_hidden_size": shape["width"], "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch",
        "mm_vision_tower": "glassbox-starter-tower",
        "vision_config": {"hidden_size": shape["width"], "intermediate_size": shape["mlp"], "num_hidden_layers": shape["layers"],
                          "num_attention_heads": shape["width"] // 32, "image_size": lowres, "patch_size": shape["patch"], "hidden_act": "quick_gelu",
                          "layer_norm_eps": 1e-5},
        "extra": {"zoom_ratio": str(cfg["zoom"]), "lowres_size": str(lowres), "highres_size": str(lowres * cfg["zoom"]),
                  "threshold": str(cfg["cell_threshold"]), "selection_layer": str(cfg["selection_layer"]), "pool_size": str(cfg["pool"]), "conv_template": "plain"},
    }
    side = lowres * cfg["zoom"]
    processor = {"crop_size": {"height": side, "width": side}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True, "do_rescale": True,
                 "do_resize": True, "image_mean": MEAN.tolist(), "image_std": STD.tolist(), "image_processor_type": "CLIPImageProcessor", "resample": 3,
                 "rescale_factor": 1 / 255, "size": {"shortest_edge": side}}
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 4, "max_new_tokens": 16, "do_sample": False}
    for name, value in (("config", config), ("preprocessor_config", processor), ("generation_config", generation)):
        with open(f"{out}/{name}.json", "w") as f:
            f.write(json.dumps(value, indent=2) + "\n")
    tokenizer.save_pretrained(out)
    for stray in ("special_tokens_map.json",):
        if os.path.exists(f"{out}/{stray}"):
            os.remove(f"{out}/{stray}")
    print("ask: step", state["step"], "questions", state["questions"], "minutes", round(state["spent"] / 60, 1))
    if "scores" in cfg:
        scores = ask.evaluate(decoder, ask.load(cfg["held"]), packer)
        with open(cfg["scores"], "w") as f:
            json.dump(scores, f, indent=1)
        for mode, table in scores.items():
            print(mode, table)


if __name__ == "__main__":
    main()
