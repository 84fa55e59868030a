"""The SANE loop, written out plainly over diffusers' schedulers with the random draws injected.

Row order of every UNet batch: the instruction, image only, null, then the specific instructions. See the method's specification for the rule;
with no specific instruction it is InstructPix2Pix, which `instruct_pix2pix` checks against diffusers' own pipeline.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image

SCHEDULER_MODULES = [
    "diffusers.schedulers.scheduling_euler_ancestral_discrete",
    "diffusers.schedulers.scheduling_euler_discrete",
    "diffusers.schedulers.scheduling_ddim",
    "diffusers.schedulers.scheduling_dpmsolver_multistep",
]


def make_scheduler(name, config, **options):
    """A scheduler of the named class from a folder's configuration, as `from_config` reads it."""
    return getattr(diffusers, name).from_config(config, **options)


@contextmanager
def injected(draws):
    """Makes the schedulers take their random draws from the list, one a step."""
    remaining = iter(draws)

    def take(shape, dtype=None, device=None, generator=None, **_):
        draw = next(remaining)
        assert tuple(draw.shape) == tuple(shape)
        return draw.to(dtype)

    with ExitStack() as stack:
        for module in SCHEDULER_MODULES:
            stack.enter_context(mock.patch(f"{module}.randn_tensor", take))
        yield


@torch.no_grad()
def sane(editor, scheduler, picture, instruction, specifics, steps, noise, text_scale, specific_scale, image_scale):
    """One edit. `picture` [1, 3, H, W] in -1…1, `noise` {init [1, c, h, w], steps [N, 1, c, h, w]}; returns the trace."""
    dtype = editor.dtype
    trace = {}
    text = editor.embed([instruction, "", "", *specifics])
    trace["text_embeddings"] = text
    image_latents = editor.encode(picture)
    trace["image_latents"] = image_latents
    scheduler.set_timesteps(steps)
    trace["timesteps"] = scheduler.timesteps.float()
    if hasattr(scheduler, "sigmas"):
        trace["sigmas"] = scheduler.sigmas.float()
    latents = noise["init"].to(dtype) * scheduler.init_noise_sigma
    rows = 3 + len(specifics)
    condition = torch.cat([image_latents, image_latents, torch.zeros_like(image_latents)] + [image_latents] * len(specifics))
    with injected(noise["steps"]):
        for i, t in enumerate(scheduler.timesteps):
            scaled = scheduler.scale_model_input(latents, t)
            sample = torch.cat([torch.cat([scaled] * rows), condition], dim=1)
            eps = editor.unet(sample, t, encoder_hidden_states=text, return_dict=False)[0]
            trace[f"eps.{i}"] = eps
            vague, image, null, specific = eps[0:1], eps[1:2], eps[2:3], eps[3:]
            guided = null + text_scale * (vague - image) + image_scale * (image - null)
            if len(specifics) > 0:
                winner = (specific - image).abs().argmax(dim=0, keepdim=True)
                chosen = specific.gather(0, winner)
                trace[f"selection.{i}"] = winner[0].float()
                guided = guided + specific_scale * (chosen - image)
            latents = scheduler.step(guided, t, latents, return_dict=False)[0]
            trace[f"latents.{i}"] = latents
    trace["decoded"] = editor.decode(latents)[0]
    return {name: tensor.float().contiguous() for name, tensor in trace.items()}


def instruct_pix2pix(editor, scheduler, picture, instruction, steps, noise, text_scale, image_scale):
    """The same edit by diffusers' pipeline: the latents after every step and the decoded picture."""
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=editor.vae, text_encoder=editor.text_encoder, tokenizer=editor.tokenizer, unet=editor.unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    seen = []

    def remember(_pipeline, _step, _timestep, tensors):
        seen.append(tensors["latents"].clone())
        return tensors

    with injected(noise["steps"]):
        out = pipeline(
            instruction, image=Image.fromarray(np.asarray(picture)), num_inference_steps=steps, guidance_scale=text_scale,
            image_guidance_scale=image_scale, latents=noise["init"].clone(), output_type="pt", callback_on_step_end=remember,
        )
    return seen, out.images[0]
