"""A random InstructPix2Pix editor of full size in the published layout, and what diffusers makes of it.

    python tests/reference/full_size.py FOLDER [--side 512] [--steps 2] [--specifics 3] [--threads 2]

writes FOLDER/editor (686 UNet, 248 VAE and 196 text-encoder tensors; the VAE with the old attention names, the text encoder with
`text_model.` and its position ids), FOLDER/source.png, FOLDER/noise.safetensors and FOLDER/trace.safetensors (names as in README.md), and
prints diffusers' seconds a step and peak memory. Nothing of it belongs in the repository: it takes 4.3 GB.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import sane_loop
import tiny_models as tiny
from edit_fixtures import EULER_ANCESTRAL, INSTRUCTION, SPECIFICS

EXPECTED = {"unet": 686, "vae": 248, "text_encoder": 196}


def full_vocabulary(folder):
    """The small tokenizer with its vocabulary filled up to the published 49408 entries, the two marks last."""
    vocab = json.loads((folder / "vocab.json").read_text())
    words = [token for token in vocab if token not in (tiny.START, tiny.END)]
    words += [f"unused{i}</w>" for i in range(49406 - len(words))]
    vocab = {token: i for i, token in enumerate([*words, tiny.START, tiny.END])}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    return tiny.CLIPTokenizer.from_pretrained(folder)


def build(folder):
    tiny.write_tokenizer(folder / "tokenizer", 160, 77)
    tokenizer = full_vocabulary(folder / "tokenizer")
    assert len(tokenizer) == 49408, len(tokenizer)
    return tiny.write_editor(
        folder,
        tokenizer=tokenizer,
        unet=tiny.new_unet(1, sample_size=64, in_channels=8, out_channels=4, cross_attention_dim=768),
        vae=tiny.new_vae(
            2, block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, sample_size=512,
        ),
        text_encoder=tiny.new_text_encoder(
            3, tokenizer, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        ),
        scheduler=EULER_ANCESTRAL,
        old_vae=True,
        prefix=True,
    )


def count_tensors(editor):
    for component, expected in EXPECTED.items():
        (path,) = (editor.folder / component).glob("*.safetensors")
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if not name.endswith("position_ids")]
        assert len(names) == expected, (component, len(names))
        print(f"{component}: {len(names)} tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--specifics", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    editor = build(options.folder / "editor")
    count_tensors(editor)
    picture = tiny.random_picture(options.side, options.side, 7)
    Image.fromarray(picture).save(options.folder / "source.png")
    draw = torch.Generator().manual_seed(7)
    shape = (1, 4, options.side // 8, options.side // 8)
    noise = {"init": torch.randn(shape, generator=draw), "steps": torch.randn((options.steps, *shape), generator=draw)}
    save_file(noise, options.folder / "noise.safetensors")
    seconds = []
    forward = editor.unet.forward

    def timed(*args, **kwargs):
        start = time.perf_counter()
        out = forward(*args, **kwargs)
        seconds.append(time.perf_counter() - start)
        return out

    editor.unet.forward = timed
    scheduler = sane_loop.make_scheduler("EulerAncestralDiscreteScheduler", EULER_ANCESTRAL)
    trace = sane_loop.sane(
        editor, scheduler, tiny.to_input(np.asarray(picture)), INSTRUCTION, SPECIFICS[: options.specifics], options.steps, noise, 7.5, 7.5, 1.5
    )
    save_file(trace, options.folder / "trace.safetensors")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"diffusers: {3 + options.specifics} rows of {options.side} px, seconds a step {[round(s, 2) for s in seconds]}, peak memory {peak:.2f} GiB")
    print("specific instructions:", SPECIFICS[: options.specifics])


if __name__ == "__main__":
    main()
