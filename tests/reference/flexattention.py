"""Fixtures of the Ask lens: tiny random models in the three published layouts, and what the references make of them.

FlexAttention's own code is run from a folder that is given as an argument (a checkout of
UMass-Embodied-AGI/FlexAttention at f814be5 with its vendored transformers 4.37.2; also tokenizers 0.15.2,
huggingface_hub 0.23.4, accelerate 0.27.2 and opencv-python-headless); plain LLaVA is run by the installed transformers.

    python flexattention.py own CHECKOUT OUT_DIR     # the layouts with LLaVA's own names
    python flexattention.py hf OUT_DIR               # the llava-hf layout

The two need different versions of transformers, hence two runs. Everything is in f32: the published code casts the
high-resolution features to f16, which this script undoes, so that only the method is compared and not roundings.
"""

import json
import os
import sys
import types

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

SEED = 7
WORDS = (
    "A chat between a curious user and an artificial intelligence assistant . The gives helpful , detailed polite answers "
    "to the 's questions human USER : ASSISTANT what is written on sign how many which colour roof left right yes no"
).split()
# The published code takes a picture of 336 pixels or less for one without a second resolution.
SIDE, PATCH, ZOOM = 120, 30, 3


def picture(width, height):
    """Stripes, a gradient and one bright square; whole numbers only, drawn again by the tests."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    bright = (x > width // 2) & (x < width * 3 // 4) & (y > height // 4) & (y < height // 2)
    r = (x * 5 + y) % 256
    g = (y * 3 + (x // 4) * 20) % 256
    b = np.where(bright, 250, (x * y // 7) % 200)
    return Image.fromarray(np.stack([r, g, b], -1).astype(np.uint8), "RGB")


def tokenizer_json():
    """Words after blanks, bytes for the rest, a byte-pair model without merges over whole words."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)],
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 20 + [" " + word for word in WORDS] * 5, trainer)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def tower_config():
    return dict(
        hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=SIDE,
        patch_size=PATCH, hidden_act="quick_gelu", layer_norm_eps=1e-5, projection_dim=16,
    )


def fill(module, spread=0.9):
    """Random weights that make attention and answers lively: a fresh initialisation gives rows that are all alike."""
    generator = torch.Generator().manual_seed(SEED)
    for name, weight in sorted(module.named_parameters()):
        with torch.no_grad():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.dim() == 1:
                weight.copy_(1 + 0.1 * noise if "norm" in name and name.endswith("weight") else 0.1 * noise)
            elif "embed_tokens" in name:
                weight.copy_(noise)
            elif "q_proj" in name or "k_proj" in name:
                weight.copy_(noise * 1.6 / weight.shape[-1] ** 0.5)
            else:
                weight.copy_(noise * spread / weight[0].numel() ** 0.5)


PROMPTS = {
    "short": "what is written on the sign?",
    "long": " ".join(["what is written on the sign, and how many, which colour is the roof?"] * 9),
}
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
)


def prompt_ids(tokenizer, question):
    """LLaVA's rule: parts around the picture tokenised on their own, one <s> in front of everything."""
    before, after = f"{SYSTEM}USER: <image>\n{question} ASSISTANT:".split("<image>")
    return tokenizer.encode(before).ids + [-200] + tokenizer.encode(after).ids[1:]


def write_texts(folder, tokenizer, extra):
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
        json.dump({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **extra}, file, indent=2)
    with open(os.path.join(folder, "generation_config.json"), "w") as file:
        json.dump({"bos_token_id": 1, "eos_token_id": 2}, file, indent=2)


def save_weights(folder, state, shards):
    state = {name: tensor.detach().to(torch.float32).contiguous().clone() for name, tensor in state.items()}
    state = {name: tensor.to(torch.float16).to(torch.float32) for name, tensor in state.items()}
    half = {name: tensor.to(torch.float16) for name, tensor in state.items()}
    if shards == 1:
        save_file(half, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        return
    names = sorted(half)
    weight_map = {}
    for index in range(shards):
        name = f"model-{index + 1:05}-of-{shards:05}.safetensors"
        part = names[index::shards]
        save_file({key: half[key] for key in part}, os.path.join(folder, name), metadata={"format": "pt"})
        weight_map.update({key: name for key in part})
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {}, "weight_map": weight_map}, file)


def round_to_half(module):
    for weight in module.parameters():
        weight.data = weight.data.to(torch.float16).to(torch.float32)


def own(checkout, out):
    """The layouts with LLaVA's own names, run by the published code."""
    sys.path.insert(0, checkout)
    sys.path.insert(0, os.path.join(checkout, "transformers", "src"))
    torch.Tensor.half = torch.Tensor.float
    import transformers
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    assert transformers.__version__.startswith("4.37")
    from llava.mm_utils import process_images
    from llava.model.language_model.llava_llama import LlavaConfig, LlavaLlamaForCausalLM
    from transformers.models.llama import modeling_llama

    tokenizer = tokenizer_json()
    vocabulary = tokenizer.get_vocab_size()
    cases = {
        # name: (picture, question, new tokens, layers, heads, key heads, with the method)
        "flex-wide": ((90, 50), "short", 64, 12, 4, 4, True),
        "flex-tall": ((41, 97), "long", 6, 11, 4, 4, True),
        "flex-one": ((60, 60), "short", 1, 10, 2, 2, True),
        "own-plain": ((75, 52), "short", 12, 3, 4, 2, False),
    }
    for name, (size, question, count, layers, heads, key_heads, method) in cases.items():
        folder = os.path.join(out, name)
        os.makedirs(folder, exist_ok=True)
        tower = CLIPVisionModel(CLIPVisionConfig(**tower_config()))
        # The reference loads its tower from a folder of its own.
        scratch = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"tower-{name}-{os.getpid()}-openai")
        fill(tower)
        round_to_half(tower)
        tower.save_pretrained(scratch)
        CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(scratch)
        extra = dict(zoom_ratio=str(ZOOM), lowres_size=str(SIDE), highres_size=str(SIDE * ZOOM), threshold="48", warmup="10")
        settings = dict(
            vocab_size=vocabulary, hidden_size=32, intermediate_size=40, num_hidden_layers=layers,
            num_attention_heads=heads, num_key_value_heads=key_heads, rms_norm_eps=1e-5, max_position_embeddings=1024,
            hidden_act="silu", tie_word_embeddings=False, pretraining_tp=1, rope_scaling=None,
            image_aspect_ratio="pad", mm_hidden_size=16, mm_projector_type="mlp2x_gelu", mm_vision_select_layer=-2,
            mm_vision_select_feature="patch", mm_patch_merge_type="flat", mm_use_im_start_end=False,
            mm_use_im_patch_token=False, bos_token_id=1, eos_token_id=2, pad_token_id=0, tokenizer_model_max_length=1024,
        )
        if method:
            settings["extra"] = extra
        config = LlavaConfig(mm_vision_tower=scratch, **settings)
        config.rope_theta = 10000.0
        config._attn_implementation = "eager"
        torch.manual_seed(SEED)
        model = LlavaLlamaForCausalLM(config)
        model.get_vision_tower().load_model()
        fill_all(model)
        round_to_half(model)
        model.get_vision_tower().vision_tower.load_state_dict(tower.state_dict())
        if not method:
            # Plain LLaVA takes the picture at the tower's own size; the published code reads that size from `extra`.
            model.config.extra = {"lowres_size": str(SIDE)}
        model.eval()

        image = picture(*size)
        pixels = process_images([image], model.get_vision_tower().image_processor, config).float()
        ids = prompt_ids(tokenizer, PROMPTS[question])
        seen = watch(model, modeling_llama, method)
        with torch.inference_mode():
            result = model.generate(
                torch.tensor([ids]), images=pixels, ori_sizes=[[image.width, image.height]], do_sample=False,
                max_new_tokens=count, use_cache=True, return_dict_in_generate=True, output_scores=True,
            )
        # With embeddings given, this version puts a first token of its own in front.
        tokens = result.sequences[0].tolist()[-len(result.scores):]
        tensors = {
            "input_ids": torch.tensor(ids, dtype=torch.float32), "input": pixels,
            "tokens": torch.tensor(tokens, dtype=torch.float32), "logits": torch.cat(result.scores).float(),
            **seen(len(tokens)),
        }
        with torch.inference_mode():
            low = torch.nn.functional.interpolate(pixels, size=SIDE, mode="bilinear", antialias=True)
            tensors["low_res"] = model.encode_images(low)[0]
            if method:
                tensors["high_res"] = model.model.layers[0].self_attn.hd_features[0]
        state = model.state_dict()
        settings["mm_vision_tower"] = "openai/clip-vit-large-patch14-336"
        settings["vision_config"] = tower_config()
        finish(folder, {"architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava", **settings}, state,
               3 if name == "flex-wide" else 1, tokenizer, tensors, size, PROMPTS[question], count, heads)


def fill_all(model):
    fill(model)
    with torch.no_grad():
        # Otherwise all answers are one token: the residual stream forgets what it read.
        model.lm_head.weight.mul_(3.0)


def watch(model, modeling_llama, method):
    """Collects each pass's plain attention over the picture and each layer's selection."""
    rows, masks = [], []

    def hook(index):
        def after(_module, arguments, keywords, output):
            if method and output[3]:
                masks.append((index, output[3][0][0].reshape(-1).clone()))

        return after

    for index, layer in enumerate(model.model.layers):
        layer.self_attn.register_forward_hook(hook(index), with_kwargs=True)
    softmax = torch.nn.functional.softmax

    def seen_softmax(x, *arguments, **keywords):
        out = softmax(x, *arguments, **keywords)
        if out.dim() == 4:
            rows.append(out[0, :, -1].clone())
        return out

    modeling_llama.nn.functional.softmax = seen_softmax
    # The tower's softmax runs through the same function: only rows longer than its own are the decoder's.
    layers = len(model.model.layers)
    patches = (SIDE // PATCH) ** 2
    selection_layer = 8

    def collect(passes):
        modeling_llama.nn.functional.softmax = softmax
        decoder = [row for row in rows if row.shape[-1] > patches + 1 and row.shape[0] == model.config.num_attention_heads]
        first = [place for place, row in enumerate(decoder)]
        found = {}
        place = 0
        start = None
        for index in range(passes):
            for layer in range(layers):
                row = decoder[place]
                place += 2 if method and layer > selection_layer else 1
                if start is None:
                    start = model_start(model)
                found[f"attention.{index}.{layer}"] = (
                    row[:, start : start + patches].sum(0).reshape(SIDE // PATCH, SIDE // PATCH).float()
                )
        assert place == len(decoder), (place, len(decoder), len(first))
        if method:
            side = (SIDE // PATCH) * ZOOM
            per_pass = [masks[at : at + layers - selection_layer] for at in range(0, len(masks), layers - selection_layer)]
            for index in range(passes):
                for layer, mask in per_pass[index]:
                    found[f"selection.{index}.{layer}"] = mask.reshape(side, side).float()
        return found

    return collect


def model_start(model):
    """Where the picture begins in the sequence: as the prompt's beginning is always the same, a constant of the script."""
    return START["place"]


START = {"place": 0}


def finish(folder, config, state, shards, tokenizer, tensors, size, question, count, heads):
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=2)
    save_weights(folder, state, shards)
    write_texts(folder, tokenizer, {})
    # Of a long answer, a few tokens say enough about where the rows looked.
    keep = {0, 1, 2, count - 1}
    def wanted(name):
        parts = name.split(".")
        return len(parts) == 1 or int(parts[1]) in keep
    stored = {name: tensor.float().contiguous().clone() for name, tensor in tensors.items() if wanted(name)}
    del stored["input"]
    stored["input_small"] = tensors["input"][..., ::7, ::7].contiguous().clone()
    metadata = {"width": str(size[0]), "height": str(size[1]), "question": question, "count": str(count)}
    save_file(stored, os.path.join(folder, "expected.safetensors"), metadata=metadata)
    print(folder, "tokens", tensors["tokens"].tolist()[:12], sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)) // 1000, "kB")


def hf(out):
    """The llava-hf layout, run by the installed transformers."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
    # The one that resizes by PIL, as the versions of LLaVA-1.5 did; the newer default rounds otherwise.
    from transformers import CLIPImageProcessorPil

    tokenizer = tokenizer_json()
    from tokenizers import AddedToken

    tokenizer.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    image_token = tokenizer.token_to_id("<image>")
    text = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=40, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5, max_position_embeddings=1024,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False, attn_implementation="eager",
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**tower_config()), text_config=text, image_token_index=image_token,
        image_seq_length=(SIDE // PATCH) ** 2, tie_word_embeddings=False,
    )
    config._attn_implementation = "eager"
    torch.manual_seed(SEED)
    model = LlavaForConditionalGeneration(config).eval()
    fill_all(model)
    round_to_half(model)
    for name, pad, size, count in [("hf-crop", False, (70, 44), 10), ("hf-pad", True, (44, 70), 10)]:
        folder = os.path.join(out, name)
        os.makedirs(folder, exist_ok=True)
        image = picture(*size)
        processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
        square = image
        if pad:
            longer = max(size)
            square = Image.new("RGB", (longer, longer), tuple(int(255 * mean) for mean in processor.image_mean))
            square.paste(image, ((longer - size[0]) // 2, (longer - size[1]) // 2))
        pixels = torch.as_tensor(np.array(processor(square)["pixel_values"][0]))[None].float()
        ids = prompt_ids(tokenizer, PROMPTS["short"])
        patches = (SIDE // PATCH) ** 2
        full = [token for id in ids for token in ([image_token] * patches if id == -200 else [id])]
        with torch.inference_mode():
            result = model.generate(
                input_ids=torch.tensor([full]), pixel_values=pixels, do_sample=False, max_new_tokens=count,
                output_scores=True, output_attentions=True, return_dict_in_generate=True,
            )
            features = model.get_image_features(pixels, vision_feature_layer=-2, vision_feature_select_strategy="default")
            features = getattr(features, "pooler_output", features)
            features = features[0] if isinstance(features, (list, tuple)) else features
        tokens = result.sequences[0, len(full):].tolist()
        start = ids.index(-200)
        tensors = {
            "input_ids": torch.tensor(ids, dtype=torch.float32), "input": pixels,
            "tokens": torch.tensor(tokens, dtype=torch.float32), "logits": torch.cat(result.scores).float(),
            "low_res": features.reshape(patches, -1),
        }
        for index, layers in enumerate(result.attentions):
            for layer, weights in enumerate(layers):
                row = weights[0, :, -1, start : start + patches].sum(0)
                tensors[f"attention.{index}.{layer}"] = row.reshape(SIDE // PATCH, SIDE // PATCH)
        state = model.state_dict()
        if not pad:
            moved = [("model.language_model.", "language_model.model."), ("lm_head.", "language_model.lm_head."),
                     ("model.vision_tower.", "vision_tower."), ("model.multi_modal_projector.", "multi_modal_projector.")]
            state = {next((to + key[len(old):] for old, to in moved if key.startswith(old)), key): value
                     for key, value in state.items()}
        settings = json.loads(config.to_json_string(use_diff=False))
        settings["model_type"] = "llava"
        with open(os.path.join(folder, "preprocessor_config.json"), "w") as file:
            described = json.loads(processor.to_json_string())
            json.dump({key: value for key, value in described.items() if key.startswith("image_") and "type" not in key}
                      | ({"do_pad": True} if pad else {}), file)
        slim = {key: settings[key] for key in ("model_type", "text_config", "vision_config", "image_token_index",
                                               "image_token_id", "projector_hidden_act", "tie_word_embeddings") if key in settings}
        finish(folder, slim, state, 1, tokenizer, tensors, size, PROMPTS["short"], count, 4)


if __name__ == "__main__":
    torch.set_num_threads(1)
    START["place"] = prompt_ids(tokenizer_json(), PROMPTS["short"]).index(-200)
    if sys.argv[1] == "own":
        own(os.path.abspath(sys.argv[2]), sys.argv[3])
    else:
        hf(sys.argv[2])
