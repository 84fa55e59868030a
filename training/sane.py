"""SANE sampling in Python, for judging the starter editor while it is trained (spec: guidance rule and selection).

Rows a step: (image, A), (image, ""), (none, ""), (image, S_1) ... (image, S_K). For every latent element the specific
prediction that differs most from the image-only one is kept. All coefficients sum to one, so the rule is applied to
the velocity prediction directly.
"""
import torch
from diffusers import EulerAncestralDiscreteScheduler


def scheduler(spacing="linspace"):
    return EulerAncestralDiscreteScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type="v_prediction", timestep_spacing=spacing, steps_offset=1 if spacing == "leading" else 0,
    )


@torch.no_grad()
def sample(unet, text, tokenizer, image_latents, instructions, specifics, scaling_factor, steps=20, s_t=2.0, s_s=2.0, s_i=1.2,
           spacing="linspace", seed=0):
    """Edited latents, unscaled, [n, 4, h, w].

    `image_latents` [n, 4, h, w] are the VAE's mode. `instructions` are n texts, `specifics` n lists of equal length K
    (empty lists: plain InstructPix2Pix).
    """
    n, k = len(image_latents), len(specifics[0]) if specifics else 0
    sch = scheduler(spacing)
    sch.set_timesteps(steps)
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(image_latents.shape, generator=g) * sch.init_noise_sigma
    texts = list(instructions) + [""] + [s for row in specifics for s in row]
    unique = sorted(set(texts))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        emb = text(torch.tensor([tokenizer(t) for t in unique])).last_hidden_state
    at = {t: i for i, t in enumerate(unique)}
    empty = emb[at[""]].expand(n, -1, -1)
    context = [torch.stack([emb[at[t]] for t in instructions]), empty, empty]
    context += [torch.stack([emb[at[row[j]]] for row in specifics]) for j in range(k)]
    context = torch.cat(context)
    image = torch.cat([image_latents, image_latents, torch.zeros_like(image_latents)] + [image_latents] * k)
    for t in sch.timesteps:
        x = sch.scale_model_input(z, t)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            e = unet(torch.cat([x.repeat(3 + k, 1, 1, 1), image], 1), t, context).sample.float()
        e = e.view(3 + k, n, *e.shape[1:])
        e_a, e_i, e_0 = e[0], e[1], e[2]
        out = e_0 + s_t * (e_a - e_i) + s_i * (e_i - e_0)
        if k:
            d = e[3:] - e_i
            pick = d.abs().argmax(0, keepdim=True)
            out = out + s_s * d.gather(0, pick)[0]
        z = sch.step(out, t, z, generator=g).prev_sample
    return z / scaling_factor
