"""A random FlexAttention model of middle size, and how long the published code takes to answer with it.

    python full_size_ask.py make FOLDER [--width N --layers N --first N]
    python full_size_ask.py time CHECKOUT FOLDER PICTURE [--tokens N] [--threads N]

`time` needs what tests/reference/flexattention.py needs. Prints "FOLDER MEASURE SECONDS" lines: `look` (tower and projector
over ten pictures), `prompt` (until the first token, without the look), `token` (each further one). In f32 on the CPU; the
published cast of the features to f16 is undone, as f16 is slow there.
"""

import argparse
import json
import os
import sys
import time

import torch

SIDE, PATCH, ZOOM = 336, 14, 3


def shape(width, layers):
    return dict(
        vocab_size=2000, hidden_size=width, intermediate_size=width * 43 // 16, num_hidden_layers=layers,
        num_attention_heads=width // 64, num_key_value_heads=width // 64, rms_norm_eps=1e-5,
        max_position_embeddings=2048, hidden_act="silu", tie_word_embeddings=False, rope_theta=10000.0, pretraining_tp=1,
        image_aspect_ratio="pad", mm_hidden_size=256, mm_projector_type="mlp2x_gelu", mm_vision_select_layer=-2,
        mm_vision_select_feature="patch", mm_patch_merge_type="flat", mm_use_im_start_end=False,
        mm_use_im_patch_token=False, bos_token_id=1, eos_token_id=2, pad_token_id=0, tokenizer_model_max_length=2048,
        extra=dict(zoom_ratio=str(ZOOM), lowres_size=str(SIDE), highres_size=str(SIDE * ZOOM), threshold="48", warmup="10"),
    )


TOWER = dict(
    hidden_size=256, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=4, image_size=SIDE, patch_size=PATCH,
    hidden_act="quick_gelu", layer_norm_eps=1e-5, projection_dim=64,
)


def make(folder, width, layers, first):
    from safetensors.torch import save_file

    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from flexattention import tokenizer_json, write_texts

    os.makedirs(folder, exist_ok=True)
    config = shape(width, layers)
    if first != 8:
        config["extra"]["selection_layer"] = str(first)
    inner, generator = config["intermediate_size"], torch.Generator().manual_seed(11)
    state = {}

    def matrix(name, rows, columns, spread=1.0, bias=False):
        state[name + ".weight"] = (torch.randn(rows, columns, generator=generator) * spread / columns**0.5).half()
        if bias:
            state[name + ".bias"] = torch.zeros(rows, dtype=torch.float16)

    def norm(name, size, bias=False):
        state[name + ".weight"] = torch.ones(size, dtype=torch.float16)
        if bias:
            state[name + ".bias"] = torch.zeros(size, dtype=torch.float16)

    matrix("model.embed_tokens", config["vocab_size"], width, spread=width**0.5)
    for index in range(layers):
        at = f"model.layers.{index}"
        for part in ("q", "k", "v", "o"):
            matrix(f"{at}.self_attn.{part}_proj", width, width, 1.6 if part in "qk" else 1.0)
        for part in ("k", "v"):
            matrix(f"{at}.self_attn.{part}_proj_hd", width, width)
        matrix(f"{at}.mlp.gate_proj", inner, width)
        matrix(f"{at}.mlp.up_proj", inner, width)
        matrix(f"{at}.mlp.down_proj", width, inner)
        norm(f"{at}.input_layernorm", width)
        norm(f"{at}.post_attention_layernorm", width)
    norm("model.norm", width)
    matrix("lm_head", config["vocab_size"], width, 3.0)
    matrix("model.mm_projector.0", width, TOWER["hidden_size"], bias=True)
    matrix("model.mm_projector.2", width, width, bias=True)
    tower, side = "model.vision_tower.vision_tower.vision_model", TOWER["hidden_size"]
    state[f"{tower}.embeddings.class_embedding"] = torch.randn(side, generator=generator).half()
    state[f"{tower}.embeddings.patch_embedding.weight"] = (
        torch.randn(side, 3, PATCH, PATCH, generator=generator) / (3 * PATCH * PATCH) ** 0.5
    ).half()
    matrix(f"{tower}.embeddings.position_embedding", (SIDE // PATCH) ** 2 + 1, side)
    for name in ("pre_layrnorm", "post_layernorm"):
        norm(f"{tower}.{name}", side, bias=True)
    for index in range(TOWER["num_hidden_layers"]):
        at = f"{tower}.encoder.layers.{index}"
        for part in ("q", "k", "v", "out"):
            matrix(f"{at}.self_attn.{part}_proj", side, side, bias=True)
        matrix(f"{at}.mlp.fc1", TOWER["intermediate_size"], side, bias=True)
        matrix(f"{at}.mlp.fc2", side, TOWER["intermediate_size"], bias=True)
        norm(f"{at}.layer_norm1", side, bias=True)
        norm(f"{at}.layer_norm2", side, bias=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        described = {"architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava", **config, "vision_config": TOWER}
        json.dump(described, file, indent=2)
    save_file(state, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    write_texts(folder, tokenizer_json(), {})


def measure(checkout, folder, picture, tokens, threads):
    checkout = os.path.abspath(checkout)
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, checkout)
    sys.path.insert(0, os.path.join(checkout, "transformers", "src"))
    torch.Tensor.half = torch.Tensor.float
    torch.set_num_threads(threads)
    import tempfile

    from flexattention import prompt_ids
    from llava.mm_utils import process_images
    from llava.model.language_model.llava_llama import LlavaConfig, LlavaLlamaForCausalLM
    from PIL import Image
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    with open(os.path.join(folder, "config.json")) as file:
        settings = json.load(file)
    tower = tempfile.mkdtemp(prefix="openai-")
    CLIPVisionModel(CLIPVisionConfig(**settings.pop("vision_config"))).save_pretrained(tower)
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(tower)
    config = LlavaConfig(mm_vision_tower=tower, **{k: v for k, v in settings.items() if k not in ("architectures", "model_type")})
    config._attn_implementation = "eager"
    model = LlavaLlamaForCausalLM(config)
    model.get_vision_tower().load_model()
    model.load_state_dict({k: v.float() for k, v in load_file(os.path.join(folder, "model.safetensors")).items()}, strict=False)
    model.eval()
    image = Image.open(picture).convert("RGB")
    pixels = process_images([image], model.get_vision_tower().image_processor, config).float()
    ids = prompt_ids(Tokenizer.from_file(os.path.join(folder, "tokenizer.json")), "what is written on the sign?")

    def answer(count):
        began = time.perf_counter()
        with torch.inference_mode():
            model.generate(
                torch.tensor([ids]), images=pixels, ori_sizes=[[image.width, image.height]], do_sample=False,
                max_new_tokens=count, min_new_tokens=count, use_cache=True,
            )
        return time.perf_counter() - began

    def look():
        began = time.perf_counter()
        with torch.inference_mode():
            model.prepare_inputs_labels_for_multimodal(torch.tensor([ids]), None, None, None, None, pixels)
        return time.perf_counter() - began

    look()
    name = os.path.basename(os.path.normpath(folder))
    looked, first, all_of_them = look(), answer(1), answer(tokens)
    print(name, "look", looked)
    print(name, "prompt", first - looked)
    print(name, "token", (all_of_them - first) / (tokens - 1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["make", "time"])
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--first", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.what == "make":
        make(given.paths[0], given.width, given.layers, given.first)
    else:
        measure(*given.paths, given.tokens, given.threads)
