"""The Ask model's decoder: LLaMA with FlexAttention layers in the training-mode form, under the published tensor names.

Every row that predicts an answer token has a selection of its own at every layer; several questions about one picture
go through together, either as one conversation or, kept apart by the mask, as if each were the first.
"""
import torch
import torch.nn.functional as F
from torch import nn


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        x = x.float()
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Attention(nn.Module):
    def __init__(self, width, high):
        super().__init__()
        self.heads = width // 32
        for name in ("q_proj", "k_proj", "v_proj", "o_proj") + (("k_proj_hd", "v_proj_hd") if high else ()):
            setattr(self, name, nn.Linear(width, width, bias=False))


class Mlp(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, width, inner, high):
        super().__init__()
        self.self_attn, self.mlp = Attention(width, high), Mlp(width, inner)
        self.input_layernorm, self.post_attention_layernorm = Norm(width), Norm(width)


class Decoder(nn.Module):
    def __init__(self, cfg, vocabulary, vision_width, grid):
        super().__init__()
        self.cfg, self.grid, w = cfg, grid, cfg["width"]
        self.first_high = cfg["selection_layer"] + 1
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(vocabulary, w)
        self.model.layers = nn.ModuleList(Layer(w, cfg["mlp"], i >= self.first_high) for i in range(cfg["layers"]))
        self.model.norm = Norm(w)
        self.model.mm_projector = nn.Sequential(nn.Linear(vision_width, w), nn.GELU(), nn.Linear(w, w))
        self.lm_head = nn.Linear(w, vocabulary, bias=False)
        self.reset()

    def reset(self):
        nn.init.normal_(self.model.embed_tokens.weight, 0, 0.6)
        for name, m in self.named_modules():
            if isinstance(m, nn.Linear):
                scale = 0.3 if name.endswith(("o_proj", "down_proj")) else 1.0
                nn.init.normal_(m.weight, 0, scale * m.in_features**-0.5)
        nn.init.normal_(self.lm_head.weight, 0, 0.02)
        for layer in self.model.layers[self.first_high :]:
            a = layer.self_attn
            a.k_proj_hd.weight.data.copy_(a.k_proj.weight)
            a.v_proj_hd.weight.data.copy_(a.v_proj.weight)

    def fold(self, mean, std):
        """Lets the projector begin with features of mean 0 and deviation 1."""
        first = self.model.mm_projector[0]
        with torch.no_grad():
            first.weight.div_(std)
            first.bias.copy_(-first.weight @ mean)

    def table(self, positions):
        """cos, sin [..., 32] of rotary positions."""
        k = positions.float()[..., None] * 10000.0 ** (-torch.arange(0, 32, 2).float() / 32)
        k = torch.cat((k, k), -1)
        return k.cos(), k.sin()

    def high_table(self, start):
        """The image span's rows as a picture, bicubically enlarged to the high-resolution grid."""
        g, z = self.grid, self.cfg["zoom"]
        both = torch.cat(self.table(start + torch.arange(g * g)), -1).T.reshape(1, 64, g, g)
        big = F.interpolate(both, (g * z, g * z), mode="bicubic", align_corners=False)
        return big.reshape(64, -1).T.split(32, -1)

    def select(self, attention, mode, extra):
        """Attention over the low-resolution patches [b, r, g*g], summed over heads -> cells read [b, r, pool*pool] bool."""
        a = attention.float()
        low = a.amin(-1, keepdim=True)
        a = (a - low) / (a.amax(-1, keepdim=True) - low)
        on = (255 * a > self.cfg["cell_threshold"]).float().reshape(-1, 1, self.grid, self.grid)
        cells = F.adaptive_max_pool2d(on, self.cfg["pool"]).reshape(*a.shape[:2], -1) > 0.5
        if mode == "random":
            count = cells.sum(-1, keepdim=True)
            return torch.rand(cells.shape).argsort(-1).argsort(-1) < count
        if extra is not None:
            cells = cells | extra
        return cells

    def spread(self, cells):
        """[..., pool*pool] -> [..., high-resolution tokens], nearest."""
        p, side = self.cfg["pool"], self.grid * self.cfg["zoom"]
        at = torch.arange(side) * p // side
        return cells[..., (at[:, None] * p + at[None, :]).flatten()]

    def forward(self, batch, low, high, modes, alpha=1.0, extra=None, keep=None):
        """Logits of the answer rows [b, r, vocabulary], attention maps [layers][b, r, g*g], cells read [layers][b, r, pool²].

        `modes`: per sample 0 low, 1 flex, 2 full, or the string "random". `extra`: cells [b, r, pool²] that are read as well.
        `keep` [b, k]: the numbers of the high-resolution tokens that `high` [b, k, w] holds; all of them without it.
        """
        ids, positions, mask, rows, start = batch["ids"], batch["positions"], batch["mask"], batch["rows"], batch["start"]
        b, n = ids.shape
        w, heads, places = self.cfg["width"], self.cfg["width"] // 32, self.grid**2
        x = self.model.embed_tokens(ids).float()
        pictures = self.model.mm_projector(low).float()
        x = torch.cat((x[:, :start], pictures, x[:, start + places :]), 1)
        cos, sin = (t[:, None] for t in self.table(positions))
        r = rows.shape[1]
        pick = rows[:, None, :, None].expand(b, heads, r, 32)
        row_mask = mask.gather(1, rows[:, :, None].expand(b, r, n))[:, None]
        reads_all = torch.zeros(b, 1, 1, dtype=torch.bool)
        reads_none = torch.zeros(b, 1, 1, dtype=torch.bool)
        mode = modes if isinstance(modes, str) else "flex"
        if not isinstance(modes, str):
            reads_all, reads_none = (modes == 2)[:, None, None], (modes == 0)[:, None, None]
        if high is not None:
            f = self.model.mm_projector(high)
            hc, hs = (t.to(f.dtype) for t in self.high_table(start))
            if keep is not None:
                hc, hs = hc[keep][:, None], hs[keep][:, None]
        split = lambda t: t.reshape(b, -1, heads, 32).transpose(1, 2)
        maps, cells_read, cells = [], [], None
        for index, layer in enumerate(self.model.layers):
            a = layer.self_attn
            h = layer.input_layernorm(x)
            q, k, v = rotate(split(a.q_proj(h)), cos, sin), rotate(split(a.k_proj(h)), cos, sin), split(a.v_proj(h))
            out = F.scaled_dot_product_attention(q, k.to(q.dtype), v.to(q.dtype), attn_mask=mask[:, None])
            if index >= self.cfg["selection_layer"]:
                qr = q.gather(2, pick)
                scores = (qr @ k.transpose(-1, -2)).float() * 32**-0.5
                scores = scores.masked_fill(~row_mask, -1e9)
                plain = scores.softmax(-1)
                attention = plain[..., start : start + places].sum(1)
                if index >= self.first_high and high is not None:
                    # the published method lets no gradient into this branch; here the first such layer teaches the projector
                    source = f if index == self.first_high else f.detach()
                    kh = rotate(split(a.k_proj_hd(source)), hc, hs)
                    vh = split(a.v_proj_hd(source))
                    seen = self.spread(cells)
                    if keep is not None:
                        seen = seen.gather(2, keep[:, None].expand(b, r, keep.shape[1]))
                    seen = (seen | reads_all) & ~reads_none
                    far = (qr @ kh.transpose(-1, -2)).float() * 32**-0.5
                    far = far.masked_fill(~seen[:, None], -1e9)
                    joint = torch.cat((scores, far), -1).softmax(-1)
                    new = joint[..., :n].to(v.dtype) @ v + joint[..., n:].to(vh.dtype) @ vh
                    if alpha < 1:
                        new = alpha * new + (1 - alpha) * (plain.to(v.dtype) @ v)
                    out = out.scatter(2, pick, new.to(out.dtype))
                    cells_read.append((cells | reads_all) & ~reads_none)
                cells = self.select(attention.detach(), mode, extra)
                maps.append(attention)
            x = x + a.o_proj(out.transpose(1, 2).reshape(b, n, w)).float()
            x = x + layer.mlp(layer.post_attention_layernorm(x)).float()
        x = self.model.norm(x.gather(1, rows[:, :, None].expand(b, r, w)))
        return self.lm_head(x), maps, cells_read
