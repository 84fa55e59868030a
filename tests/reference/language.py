"""Fixtures for the language networks: tiny random models run by transformers, compared with by the tests in src/.

    python tests/reference/language.py        (torch, transformers, safetensors)

Writes tests/parity/fixtures/language/*.safetensors. Each file holds the weights under the names of a published
checkpoint (`weights/…`), inputs (`in/…`) and what transformers made of them (`out/…`); its metadata holds the model's
config.json. Weights are random and larger than usual, so that no part of a network hides behind its residual.
"""

import json
from pathlib import Path

import torch
import transformers as tf
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parent.parent / "parity" / "fixtures" / "language"
NEW_TOKENS = 12


def randomise(model, seed):
    """Fills every parameter from a seeded generator, norms around one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                value.copy_(1.0 + 0.2 * noise)
            elif value.dim() > 1:
                value.copy_(noise * 1.5 / (value[0].numel() ** 0.5))
            else:
                value.copy_(0.3 * noise)
    return model.eval().float()


def write(name, config, weights, inputs, outputs):
    tensors = {f"weights/{key}": value for key, value in weights.items()}
    tensors |= {f"in/{key}": value for key, value in inputs.items()}
    tensors |= {f"out/{key}": value for key, value in outputs.items()}
    tensors = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    tensors = {key: value.to(torch.uint32) if value.dtype == torch.int64 else value for key, value in tensors.items()}
    OUT.mkdir(parents=True, exist_ok=True)
    save_file(tensors, OUT / f"{name}.safetensors", metadata={"config": json.dumps(config)})
    print(name, sum(value.numel() * value.element_size() for value in tensors.values()) // 1024, "KiB")


def state(model, tied):
    weights = dict(model.state_dict())
    if tied:
        weights.pop("lm_head.weight", None)
    return {key: value for key, value in weights.items() if "rotary_emb" not in key and "position_ids" not in key}


def greedy(step, ids):
    """The next tokens when always the best is taken; also how far ahead of the second it was, at least."""
    ids, margin = list(ids), float("inf")
    for _ in range(NEW_TOKENS):
        top = step(ids)[-1].topk(2)
        margin = min(margin, float(top.values[0] - top.values[1]))
        ids.append(int(top.indices[0]))
    assert margin > 1e-3, margin
    return torch.tensor(ids[-NEW_TOKENS:])


def decoder(name, kind, config, seed):
    """A decoder alone: logits of a prompt and the greedy tokens after it."""
    torch.manual_seed(seed)
    settings = config
    config = kind.config_class(**settings)
    config._attn_implementation = "eager"
    model = randomise(kind(config), seed)
    ids = torch.randint(3, config.vocab_size, (1, 11), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        step = lambda ids: model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        logits = step(ids[0].tolist())
        tokens = greedy(step, ids[0].tolist())
    written = config.to_dict()
    weights = state(model, config.tie_word_embeddings)
    write(name, written, weights, {"ids": ids}, {"logits": logits, "greedy": tokens})


def vision(name, seed, **settings):
    """The vision tower alone: all hidden states and the pooled output, names as published."""
    config = tf.CLIPVisionConfig(**settings)
    config._attn_implementation = "eager"
    model = randomise(tf.CLIPVisionModel(config), seed)
    side = config.image_size
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        out = model(pixel_values=pixels, output_hidden_states=True)
    outputs = {f"hidden.{index}": value for index, value in enumerate(out.hidden_states)}
    outputs["pooled"] = out.pooler_output
    weights = {published_vision(key): value for key, value in state(model, False).items()}
    write(name, config.to_dict(), weights, {"pixels": pixels}, outputs)


def published_vision(name):
    return name if name.startswith("vision_model.") else f"vision_model.{name}"


def llava(name, seed, published, text, eye, **settings):
    """Tower, projector and decoder: picture tokens, logits of a prompt with one picture, greedy tokens."""
    config = tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(**eye), text_config=tf.LlamaConfig(**text), **settings
    )
    config._attn_implementation = "eager"
    model = randomise(tf.LlavaForConditionalGeneration(config), seed)
    side, grid = eye["image_size"], eye["image_size"] // eye["patch_size"]
    full = settings.get("vision_feature_select_strategy", "default") == "full"
    image = settings["image_token_index"]
    places = [image] * (grid * grid + int(full))
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(1, 3, side, side, generator=generator)
    words = [int(word) for word in torch.randint(3, image, (7,), generator=generator)]
    prompt = [1, *words[:3], *places, *words[3:]]
    with torch.no_grad():
        step = lambda ids: model(
            input_ids=torch.tensor([ids]), pixel_values=pixels, attention_mask=torch.ones(1, len(ids)), use_cache=False
        ).logits[0]
        features = model.model.get_image_features(pixel_values=pixels)
        features = getattr(features, "pooler_output", features)
        features = features[0] if isinstance(features, (list, tuple)) else features
        logits = step(prompt)
        tokens = greedy(step, prompt)
    weights = {}
    for key, value in state(model, False).items():
        key = key.replace("model.vision_tower.", "model.vision_tower.vision_model.") if "vision_model" not in key else key
        if published == "older":
            key = key.replace("model.language_model.", "language_model.model.").replace("lm_head.", "language_model.lm_head.")
            key = key.removeprefix("model.")
        weights[key] = value
    inputs = {"pixels": pixels, "short": torch.tensor([1, *words[:3], image, *words[3:]]), "ids": torch.tensor(prompt)}
    outputs = {"pictures": features.reshape(1, len(places), -1), "logits": logits, "greedy": tokens}
    write(name, config.to_dict(), weights, inputs, outputs)


def main():
    small = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4)
    small |= dict(max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    llama = tf.LlamaForCausalLM
    decoder("llama", llama, small | dict(num_key_value_heads=4, rms_norm_eps=1e-5), 1)
    decoder("llama-grouped", llama, small | dict(num_key_value_heads=2, head_dim=12, tie_word_embeddings=True), 2)
    scaled = dict(rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0)
    scaled |= dict(original_max_position_embeddings=32)
    decoder("llama-scaled", llama, small | dict(num_key_value_heads=1, rope_parameters=scaled, attention_bias=True), 3)
    linear = dict(rope_type="linear", factor=2.5, rope_theta=10000.0)
    decoder("llama-linear", llama, small | dict(num_key_value_heads=2, rope_parameters=linear, mlp_bias=True), 4)
    decoder("mistral", tf.MistralForCausalLM, small | dict(num_key_value_heads=2, sliding_window=64), 5)
    decoder("mistral-window", tf.MistralForCausalLM, small | dict(num_key_value_heads=2, sliding_window=5), 8)
    decoder("qwen2", tf.Qwen2ForCausalLM, small | dict(num_key_value_heads=2, tie_word_embeddings=True), 6)
    decoder("qwen3", tf.Qwen3ForCausalLM, small | dict(num_key_value_heads=2, head_dim=16), 7)

    gemma = small | dict(num_key_value_heads=2, head_dim=12, tie_word_embeddings=True)
    near = gemma | dict(sliding_window=4, query_pre_attn_scalar=20)
    decoder("gemma", tf.GemmaForCausalLM, gemma, 31)
    decoder("gemma2", tf.Gemma2ForCausalLM, near | dict(attn_logit_softcapping=3.0, final_logit_softcapping=5.0), 32)
    decoder("gemma3", tf.Gemma3ForCausalLM, near | dict(sliding_window_pattern=2), 33)
    stretched = dict(rope_type="linear", factor=2.0, rope_theta=5000.0)
    both = dict(full_attention=stretched, sliding_attention=dict(rope_type="default", rope_theta=300.0))
    decoder("gemma3-linear", tf.Gemma3ForCausalLM, near | dict(sliding_window_pattern=3, rope_parameters=both), 34)
    decoder("phi3", tf.Phi3ForCausalLM, small | dict(num_key_value_heads=2, sliding_window=6), 35)
    long = dict(rope_type="longrope", rope_theta=800.0, partial_rotary_factor=0.5)
    long |= dict(short_factor=[1.0, 1.7], long_factor=[2.0, 9.0])
    long = dict(rope_parameters=long, max_position_embeddings=256, original_max_position_embeddings=64)
    decoder("phi3-long", tf.Phi3ForCausalLM, small | long | dict(tie_word_embeddings=True), 36)

    eye = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4)
    vision("clip-vision", 11, image_size=28, patch_size=7, **eye)
    vision("clip-vision-gelu", 12, image_size=30, patch_size=14, hidden_act="gelu", layer_norm_eps=1e-6,
           **(eye | dict(hidden_size=36, num_attention_heads=3)))

    eye |= dict(image_size=28, patch_size=7)
    text = small | dict(num_key_value_heads=2)
    llava("llava-older", 21, "older", text, eye, image_token_index=60)
    llava("llava-newer", 22, "newer", text, eye, image_token_index=60, vision_feature_select_strategy="full",
          vision_feature_layer=[-2, 1], projector_hidden_act="gelu_pytorch_tanh")


if __name__ == "__main__":
    main()
