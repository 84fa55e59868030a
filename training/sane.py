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
    empty, nowhere = emb[at[""]].expand(n, -1, -1), torch.zeros_like(image_latents)
    rows = {"A": (torch.stack([emb[at[t]] for t in instructions]), image_latents)}
    if k or s_t != s_i:
        rows["I"] = (empty, image_latents)
    if s_i != 1:  # with an image guidance of 1 the null row has no weight
        rows["0"] = (empty, nowhere)
    for j in range(k):
        rows[j] = (torch.stack([emb[at[row[j]]] for row in specifics]), image_latents)
    context, image = (torch.cat(part) for part in zip(*rows.values()))
    for t in sch.timesteps:
        x = sch.scale_model_input(z, t)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            e = unet(torch.cat([x.repeat(len(rows), 1, 1, 1), image], 1), t, context).sample.float()
        e = dict(zip(rows, e.view(len(rows), n, *e.shape[1:])))
        e_a = e["A"]
        e_i = e.get("I", e_a)
        out = s_i * e_i + s_t * (e_a - e_i)
        if s_i != 1:
            out = out + (1 - s_i) * e["0"]
        if k:
            d = torch.stack([e[j] for j in range(k)]) - e_i
            pick = d.abs().argmax(0, keepdim=True)
            out = out + s_s * d.gather(0, pick)[0]
        z = sch.step(out, t, z, generator=g).prev_sample
    return z / scaling_factor
