"""Flat painted landscapes with the same edits as the world: the editor's first lessons, and variety beyond the world.

`python training/sketch.py FOLDER SHARD SCENES SEED` writes images-SHARD.npy and meta-SHARD.jsonl in the form that
`glassbox world --dataset` writes, so that everything after it treats both alike.
"""
import json
import sys

import numpy as np
from PIL import Image, ImageDraw

import photometric
from procedural import picture, pink

SIZE = 256
COLOURS = {
    "red": (190, 35, 30), "orange": (230, 120, 25), "yellow": (235, 205, 50), "green": (60, 140, 50), "blue": (40, 80, 190),
    "purple": (120, 50, 150), "pink": (235, 140, 175), "white": (238, 238, 235), "black": (28, 28, 30), "brown": (110, 70, 40),
    "grey": (130, 130, 130), "turquoise": (50, 185, 180),
}
PAINT = ["paint the {p} {c}", "make the {p} {c}", "turn the {p} {c}", "{c} {p}", "change the colour of the {p} to {c}", "the {p} should be {c}",
         "please make the {p} {c}", "color the {p} {c}", "give the {p} a {c} colour", "I want a {c} {p}", "recolour the {p} in {c}", "could you paint the {p} {c}?"]
PART_WORDS = {"roof": ["roof", "roofs", "rooftop"], "walls": ["walls", "house", "houses", "wall"], "door": ["door", "doors"], "car": ["car"], "boat": ["boat"],
              "leaves": ["leaves", "trees", "foliage"], "grass": ["grass", "field", "meadow"], "water": ["water", "lake"], "fence": ["fence"], "road": ["road", "path"], "sky": ["sky"]}
WHOLE = {
    "season/winter": ["make it winter", "turn it into winter", "a winter scene", "show it in winter", "change the season to winter", "winter please", "it should be winter", "cover everything in snow"],
    "season/autumn": ["make it autumn", "turn it into autumn", "an autumn scene", "change the season to autumn", "fall season", "it should be autumn", "autumn colours everywhere"],
    "season/spring": ["make it spring", "turn it into spring", "a spring scene", "change the season to spring", "it should be spring", "springtime"],
    "season/summer": ["make it summer", "turn it into summer", "a summer scene", "change the season to summer", "it should be summer", "midsummer"],
    "hour/night": ["make it night", "turn day into night", "at night", "night time", "set it at night", "change the time to night", "it should be dark night"],
    "hour/sunset": ["make it sunset", "at sunset", "evening light", "set it at dusk", "golden hour", "change the time to sunset", "let the sun go down"],
    "hour/dawn": ["make it dawn", "at dawn", "early morning light", "sunrise", "set it at daybreak", "change the time to dawn"],
    "hour/noon": ["make it noon", "at midday", "bright daylight", "in the middle of the day", "change the time to noon", "make it day"],
    "weather/clear": ["clear weather", "make the weather sunny", "a sunny day", "remove the clouds from the sky", "make it sunny", "a cloudless day"],
    "weather/overcast": ["overcast weather", "make it cloudy", "a grey cloudy day", "cover the sky with clouds", "make the day overcast"],
    "weather/fog": ["make it foggy", "add fog", "a misty day", "thick fog", "cover the scene in mist", "fill the air with haze"],
    "weather/rain": ["make it rain", "a rainy day", "add rain", "rainy weather", "let it pour"],
    "weather/snowfall": ["make it snow", "add falling snow", "let it snow", "snowflakes in the air", "snowfall"],
    "weather/storm": ["make it stormy", "a thunderstorm", "storm", "stormy weather", "bring a storm"],
}
LOCAL = {
    "snow on roof": ["put snow on the roofs", "add snow on the roof", "cover the roofs with snow", "snowy roofs"],
    "snow on ground": ["put snow on the ground", "cover the ground with snow", "snow on the grass", "make the ground snowy"],
    "snow on trees": ["put snow on the trees", "cover the trees with snow", "snowy trees"],
    "freeze water": ["freeze the water", "turn the lake to ice", "make the water frozen", "ice on the water"],
    "bare trees": ["make the trees bare", "remove the leaves from the trees", "bare branches", "leafless trees"],
    "orange leaves": ["turn the leaves orange", "autumn leaves on the trees", "make the leaves red and orange"],
    "blossom": ["put blossom on the trees", "blossoming trees", "pink blossom on the trees", "let the trees bloom"],
    "flowers": ["put flowers in the grass", "add flowers to the meadow", "flowers in the grass", "let flowers grow in the field"],
    "dry grass": ["make the grass dry", "dry yellow grass", "dry out the grass"],
    "overcast sky": ["make the sky overcast", "cover the sky with grey clouds", "a grey sky", "cloudy sky"],
    "sunset sky": ["make the sky a sunset", "an orange sunset sky", "paint a sunset in the sky", "glowing evening sky"],
    "starry sky": ["put stars in the sky", "a starry sky", "make it a night sky with stars", "fill the sky with stars"],
    "clear sky": ["make the sky clear blue", "a clear blue sky", "bright blue sky"],
    "storm sky": ["put dark storm clouds in the sky", "dark storm clouds", "a dark stormy sky"],
    "light windows": ["light the windows", "turn on the lights in the windows", "make the windows glow", "warm light in the windows"],
    "ground fog": ["put fog over the ground", "add mist over the ground", "low fog over the ground"],
    "snow on mountains": ["put snow on the mountains", "snow-capped mountains", "white mountain tops"],
    "wet road": ["make the road wet", "a wet road", "puddles on the road"],
}
NEEDS = {"snow on roof": "roof", "snow on trees": "leaves", "freeze water": "water", "bare trees": "leaves", "orange leaves": "leaves", "blossom": "leaves",
         "light windows": "windows", "snow on mountains": "mountains", "wet road": "road"}
TONES = {
    "warmer": ["make it warmer", "warmer colours", "add a warm tone", "warm up the picture"], "cooler": ["make it cooler", "cooler colours", "add a cold blue tone", "cool down the picture"],
    "brighter": ["make it brighter", "brighten the picture", "more light", "lighten it up"], "darker": ["make it darker", "darken the picture", "less light", "dim the light"],
    "contrast": ["more contrast", "increase the contrast", "make it more contrasty"], "saturated": ["more saturated colours", "make the colours vivid", "more vivid", "boost the colours"],
    "faded": ["faded colours", "make it look faded", "washed out colours", "fade the picture"],
    "black and white": ["make it black and white", "black and white photo", "remove the colour", "monochrome", "greyscale"],
    "vintage": ["make it vintage", "sepia", "an old photograph", "make it look like an old photo", "vintage look"],
}
WISHES = {
    "winter": (["make it feel like winter", "it should feel like winter", "a wintry mood"], ["snow on roof", "snow on ground", "freeze water", "snow on trees", "overcast sky"]),
    "autumn": (["make it feel like autumn", "an autumnal mood"], ["orange leaves", "dry grass", "overcast sky"]),
    "cosy": (["make it cosy", "it should look cosy", "give it a cosy mood"], ["light windows", "sunset sky", "snow on roof"]),
    "spooky": (["make it spooky", "make it creepy", "like a ghost story"], ["bare trees", "storm sky", "ground fog", "light windows"]),
    "romantic": (["make it romantic", "a romantic evening"], ["sunset sky", "light windows", "flowers", "blossom"]),
}


def shade(c, k):
    return tuple(int(np.clip(v * k, 0, 255)) for v in c)


class Scene:
    """Geometry and colours of one painted landscape; `paint(changes)` renders it."""

    def __init__(self, rng):
        self.rng, s = rng, SIZE
        self.noise_seed = int(rng.integers(1 << 30))
        h = self.horizon = s * rng.uniform(0.32, 0.62)
        self.shapes, self.parts = [], {"sky", "grass"}
        jitter = lambda c, k=14: tuple(int(np.clip(v + rng.normal(0, k), 5, 250)) for v in c)
        names = list(COLOURS)
        pick = lambda *a: jitter(COLOURS[rng.choice(a or names)])
        self.base = {"sky_top": jitter((90, 150, 225), 20), "sky_low": jitter((190, 215, 235), 15), "grass": jitter((95, 140, 60), 18), "mountains": jitter((110, 115, 130), 18),
                     "water": jitter((60, 110, 160), 18), "road": jitter((120, 115, 110)), "roof": pick("red", "brown", "grey", "orange", "blue", "green"), "walls": pick("white", "yellow", "grey", "brown", "pink", "red"),
                     "door": pick(), "windows": jitter((70, 85, 105)), "leaves": jitter((60, 115, 45), 16), "trunk": jitter((90, 65, 45)), "car": pick(), "boat": pick(), "fence": pick("white", "brown", "grey")}
        x = np.linspace(0, s, 30)
        if rng.random() < 0.7:
            self.parts.add("mountains")
            for i in range(rng.integers(1, 3)):
                y = h - s * rng.uniform(0.02, 0.2) - np.abs(np.cumsum(rng.normal(0, s * 0.018, 30)))
                self.add("mountains", [(0, h + 4), *zip(x, y), (s, h + 4)], 0.8 - 0.2 * i, rng.uniform(0.8, 1.15))
        y = h + np.cumsum(rng.normal(0, 1.2, 30))
        self.add("grass", [(0, s), *zip(x, y), (s, s)], 0.25, 1.0)
        if rng.random() < 0.55:
            self.parts.add("water")
            if rng.random() < 0.5:
                y0 = rng.uniform(h + 4, s * 0.85)
                self.add("water", [(0, y0), (s, y0 + rng.normal(0, 12)), (s, s), (0, s)], 0.2, 1.0)
            else:
                cx, cy, rx, ry = rng.uniform(0, s), rng.uniform(h + 25, s * 0.9), rng.uniform(40, 130), rng.uniform(8, 30)
                a = np.linspace(0, 2 * np.pi, 24)
                self.add("water", list(zip(cx + rx * np.cos(a), cy + ry * np.sin(a))), 0.3, 1.0)
            if rng.random() < 0.5:
                self.parts.add("boat")
                bx, by, w = rng.uniform(20, s - 60), rng.uniform(max(h + 30, s * 0.75), s - 12), rng.uniform(20, 50)
                self.add("boat", [(bx, by - w * 0.25), (bx + w, by - w * 0.25), (bx + w * 0.8, by), (bx + w * 0.2, by)], 0.15, 1)
        if rng.random() < 0.4:
            self.parts.add("road")
            cx, w = rng.uniform(0.2, 0.8) * s, rng.uniform(18, 60)
            fx = rng.uniform(0.3, 0.7) * s
            self.add("road", [(fx - 2, h + 6), (fx + 2, h + 6), (cx + w, s), (cx - w, s)], 0.25, 1)
        things = []
        for _ in range(rng.integers(0, 5)):
            things.append(("house", rng.uniform(0, s), rng.uniform(h + 4, h + 0.75 * (s - h))))
        for _ in range(rng.integers(0, 9)):
            things.append(("tree", rng.uniform(0, s), rng.uniform(h + 2, s)))
        if rng.random() < 0.3:
            things.append(("car", rng.uniform(20, s - 60), rng.uniform(h + 30, s - 5)))
        if rng.random() < 0.3:
            things.append(("fence", 0, rng.uniform(h + 15, s - 5)))
        for kind, cx, cy in sorted(things, key=lambda t: t[2]):
            near = (cy - h) / (s - h)
            k, depth = (0.08 + 0.32 * near) * s, 0.6 * (1 - near)
            if kind == "house":
                self.house(rng, cx, cy, k * rng.uniform(0.6, 0.9), depth)
            elif kind == "tree":
                self.tree(rng, cx, cy, k * rng.uniform(0.7, 1.3), depth)
            elif kind == "car":
                self.parts.add("car")
                w = k * 0.6
                self.add("car", [(cx, cy - w * 0.1), (cx, cy - w * 0.3), (cx + w * 0.2, cy - w * 0.3), (cx + w * 0.3, cy - w * 0.5), (cx + w * 0.7, cy - w * 0.5),
                                 (cx + w * 0.8, cy - w * 0.3), (cx + w, cy - w * 0.28), (cx + w, cy - w * 0.1)], depth, 1)
                for q in (0.25, 0.78):
                    self.add("tyre", ("disc", cx + w * q, cy - w * 0.08, w * 0.1), depth, 1)
            else:
                self.parts.add("fence")
                for q in np.arange(0, s, 12 + 10 * near):
                    self.add("fence", [(q, cy), (q, cy - k * 0.22), (q + 3 + 3 * near, cy - k * 0.22), (q + 3 + 3 * near, cy)], depth, 1)
                self.add("fence", [(0, cy - k * 0.16), (s, cy - k * 0.16), (s, cy - k * 0.12), (0, cy - k * 0.12)], depth, 0.95)

    def add(self, part, geometry, depth, k):
        self.shapes.append((part, geometry, depth, k))

    def house(self, rng, x, y, w, depth):
        self.parts |= {"roof", "walls", "door", "windows"}
        hgt, side = w * rng.uniform(0.5, 0.8), w * rng.uniform(0.3, 0.6)
        self.add("walls", [(x, y - hgt), (x + w, y - hgt), (x + w, y), (x, y)], depth, 1.0)
        self.add("walls", [(x + w, y - hgt), (x + w + side, y - hgt - 2), (x + w + side, y - 2), (x + w, y)], depth, 0.7)
        peak = y - hgt - w * rng.uniform(0.3, 0.6)
        self.add("walls", [(x, y - hgt), (x + w / 2, peak), (x + w, y - hgt)], depth, 1.0)
        self.add("roof", [(x + w / 2 - 2, peak - 2), (x + w / 2 + side, peak - 4), (x + w + side + w * 0.06, y - hgt), (x + w * 1.05, y - hgt + 2)], depth, 1.0)
        self.add("roof", [(x + w / 2 - 2, peak - 2), (x + w / 2 + 2, peak + 4), (x - w * 0.02, y - hgt + 5), (x - w * 0.08, y - hgt + 1)], depth, 0.85)
        self.add("door", [(x + w * 0.4, y - hgt * 0.55), (x + w * 0.62, y - hgt * 0.55), (x + w * 0.62, y), (x + w * 0.4, y)], depth, 1)
        for q in (0.1, 0.72):
            self.add("windows", [(x + w * q, y - hgt * 0.75), (x + w * (q + 0.2), y - hgt * 0.75), (x + w * (q + 0.2), y - hgt * 0.4), (x + w * q, y - hgt * 0.4)], depth, 1)

    def tree(self, rng, x, y, k, depth):
        self.parts |= {"leaves"}
        self.add("trunk", [(x - k * 0.05, y - k * 0.5), (x + k * 0.05, y - k * 0.5), (x + k * 0.06, y), (x - k * 0.06, y)], depth, 1)
        for a in (-0.3, -0.1, 0.12, 0.3):
            self.add("trunk", [(x - 1, y - k * 0.4), (x + 1, y - k * 0.4), (x + a * k + 1, y - k * 0.9), (x + a * k - 1, y - k * 0.9)], depth, 1)
        if rng.random() < 0.4:
            for i in range(3):
                yy, w = y - k * (0.25 + 0.25 * i), k * (0.38 - 0.09 * i)
                self.add("leaves", [(x - w, yy), (x + w, yy), (x, yy - k * 0.45)], depth, 0.85 + 0.12 * i)
        else:
            for i in range(5):
                self.add("leaves", ("disc", x + rng.normal(0, k * 0.16), y - k * rng.uniform(0.5, 0.9), k * rng.uniform(0.16, 0.27)), depth, rng.uniform(0.8, 1.15))

    def paint(self, st):
        """u8 [256, 256, 3] of the scene with the changes `st` (a dictionary of flags and recolourings)."""
        rng, s = np.random.default_rng(self.noise_seed), SIZE
        c = {k: np.array(v, float) for k, v in self.base.items()}
        sky = st.get("sky", "day")
        tops = {"overcast": ((150, 155, 162), (185, 188, 192)), "sunset": ((85, 75, 130), (250, 150, 70)), "dawn": ((140, 150, 200), (250, 200, 170)),
                "stars": ((10, 14, 38), (32, 40, 75)), "clear": ((65, 135, 225), (165, 205, 240)), "storm": ((45, 50, 60), (95, 98, 105))}
        if sky in tops:
            c["sky_top"], c["sky_low"] = (np.array(v, float) for v in tops[sky])
        if st.get("leaves") == "orange":
            c["leaves"] = np.array((205, 105, 30.0))
        if st.get("leaves") == "blossom":
            c["leaves"] = np.array((240, 185, 205.0))
        if st.get("grass") == "dry":
            c["grass"] = np.array((175, 155, 85.0))
        if st.get("grass") == "lush":
            c["grass"] = np.array((85, 160, 50.0))
        if st.get("frozen"):
            c["water"] = np.array((205, 222, 232.0))
        if st.get("wet"):
            c["road"] = c["road"] * 0.5 + np.array((5, 8, 15.0))
        for part, colour in st.get("recolour", {}).items():
            v = np.array(COLOURS[colour], float)
            if part == "sky":
                c["sky_top"], c["sky_low"] = v * 0.85, v * 0.6 + 95
            else:
                c[part] = v
        if st.get("snow_roof"):
            c["roof"] = np.array((236, 240, 246.0))
        if st.get("snow_ground"):
            c["grass"] = np.array((232, 237, 244.0))
        if st.get("snow_trees"):
            c["leaves"] = c["leaves"] * 0.25 + np.array((232, 238, 244.0)) * 0.75
        if st.get("snow_mountains"):
            c["mountains"] = c["mountains"] * 0.3 + np.array((236, 240, 246.0)) * 0.7
        light = {"night": np.array((0.20, 0.24, 0.42)), "sunset": np.array((1.02, 0.72, 0.52)), "dawn": np.array((0.95, 0.84, 0.82)), "noon": np.array((1.06, 1.05, 1.02))}.get(st.get("hour"), np.ones(3))
        light = light * {"overcast": 0.82, "storm": 0.55}.get(st.get("gloom"), 1.0)
        t = np.clip(np.arange(s) / self.horizon, 0, 1)[:, None, None]
        a = np.broadcast_to(c["sky_top"] * (1 - t) + c["sky_low"] * t, (s, s, 3)).copy()
        clouds = np.clip(pink(rng, s, 1.5) - 0.5, 0, 1.5)[..., None]
        if sky in ("day", "sunset", "dawn"):
            a += clouds * (np.array((60, 60, 60.0)) if sky != "sunset" else np.array((50, 10, 0.0)))
        elif sky in ("overcast", "storm"):
            a += clouds * (-22.0 if sky == "storm" else 14.0)
        grain = pink(rng, s, 0.7)[..., None]
        if sky == "stars":
            n = np.random.default_rng(self.noise_seed + 1)
            ys, xs = n.integers(0, max(int(self.horizon), 2), 90), n.integers(0, s, 90)
            a[ys, xs] = 240
        canvas = Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))
        d = ImageDraw.Draw(canvas)
        fog_image = Image.new("L", (s, s), 255)
        glow = Image.new("L", (s, s), 0)
        fd, gd = ImageDraw.Draw(fog_image), ImageDraw.Draw(glow)
        for part, g, depth, k in self.shapes:
            if part == "leaves" and st.get("bare"):
                continue
            colour = np.array((30, 30, 32.0)) if part == "tyre" else c[part]
            on = part == "windows" and st.get("lit")
            fill = (255, 205, 110) if on else shade(colour * light, k)
            if g[0] == "disc":
                box = (g[1] - g[3], g[2] - g[3], g[1] + g[3], g[2] + g[3])
                d.ellipse(box, fill=fill), fd.ellipse(box, fill=int(depth * 255)), gd.ellipse(box, fill=0)
            else:
                d.polygon(g, fill=fill), fd.polygon(g, fill=int(depth * 255)), gd.polygon(g, fill=255 if on else 0)
        a = np.asarray(canvas, np.float32) / 255
        a = a * (1 + 0.05 * grain * (np.asarray(glow)[..., None] == 0))
        depth = np.asarray(fog_image, np.float32)[..., None] / 255
        if st.get("flowers"):
            n = np.random.default_rng(self.noise_seed + 2)
            d2 = ImageDraw.Draw(canvas := Image.fromarray((np.clip(a, 0, 1) * 255).astype(np.uint8)))
            px = np.asarray(canvas).astype(int)
            target = shade(c["grass"] * light, 1)
            for _ in range(420):
                x, y = n.uniform(0, s), n.uniform(self.horizon + 4, s)
                if np.abs(px[int(y), int(x)] - target).sum() < 70:
                    r = 0.6 + 1.8 * (y - self.horizon) / (s - self.horizon)
                    f = [(235, 60, 70), (245, 215, 60), (240, 240, 245), (200, 90, 200)][n.integers(4)]
                    d2.ellipse((x - r, y - r, x + r, y + r), fill=shade(np.array(f) * light, 1))
            a = np.asarray(canvas, np.float32) / 255
        fog = st.get("fog", 0)
        if fog:
            tint = np.array((0.80, 0.82, 0.84)) * light
            k = np.clip(fog * (0.3 + 0.9 * depth), 0, 0.93)
            if st.get("low"):
                y = np.arange(s)[:, None, None]
                k = k * np.exp(-(((y - self.horizon - 20) / 45.0) ** 2))
            a = a * (1 - k) + tint * k
        n = np.random.default_rng(self.noise_seed + 3)
        if st.get("flakes") or st.get("rain"):
            layer = Image.new("L", (s, s), 0)
            ld = ImageDraw.Draw(layer)
            for _ in range(260):
                x, y = n.uniform(0, s, 2)
                if st.get("flakes"):
                    r = n.uniform(0.6, 1.9)
                    ld.ellipse((x - r, y - r, x + r, y + r), fill=220)
                else:
                    ld.line((x, y, x - 3, y + 14), fill=90)
            k = np.asarray(layer, np.float32)[..., None] / 255
            a = a * (1 - k) + 0.92 * k
        return (np.clip(a, 0, 1) * 255).astype(np.uint8)


STATES = {
    "season/winter": {"snow_roof": 1, "snow_ground": 1, "snow_trees": 1, "frozen": 1, "snow_mountains": 1, "sky": "overcast"},
    "season/autumn": {"leaves": "orange", "grass": "dry"}, "season/spring": {"leaves": "blossom", "grass": "lush", "flowers": 1}, "season/summer": {"grass": "lush", "sky": "clear"},
    "hour/night": {"hour": "night", "sky": "stars", "lit": 1}, "hour/sunset": {"hour": "sunset", "sky": "sunset"}, "hour/dawn": {"hour": "dawn", "sky": "dawn"}, "hour/noon": {"hour": "noon", "sky": "clear"},
    "weather/clear": {"sky": "clear"}, "weather/overcast": {"sky": "overcast", "gloom": "overcast"}, "weather/fog": {"sky": "overcast", "fog": 0.8, "gloom": "overcast"},
    "weather/rain": {"sky": "overcast", "gloom": "overcast", "rain": 1, "wet": 1, "fog": 0.25}, "weather/snowfall": {"sky": "overcast", "flakes": 1, "fog": 0.3}, "weather/storm": {"sky": "storm", "gloom": "storm", "rain": 1},
    "snow on roof": {"snow_roof": 1}, "snow on ground": {"snow_ground": 1}, "snow on trees": {"snow_trees": 1}, "freeze water": {"frozen": 1}, "bare trees": {"bare": 1},
    "orange leaves": {"leaves": "orange"}, "blossom": {"leaves": "blossom"}, "flowers": {"flowers": 1}, "dry grass": {"grass": "dry"}, "overcast sky": {"sky": "overcast"},
    "sunset sky": {"sky": "sunset"}, "starry sky": {"sky": "stars"}, "clear sky": {"sky": "clear"}, "storm sky": {"sky": "storm"}, "light windows": {"lit": 1},
    "ground fog": {"fog": 0.9, "low": 1}, "snow on mountains": {"snow_mountains": 1}, "wet road": {"wet": 1},
}


def sample(rng, texts, n=6):
    return [str(t) for t in rng.choice(texts, min(n, len(texts)), replace=False)]


def paint_texts(rng, part, colour, n=6):
    return [t.format(p=rng.choice(PART_WORDS[part]), c=colour) for t in sample(rng, PAINT, n)]


def landscape(rng, images):
    """One painted scene and its edits appended to `images`; returns its description."""
    scene = Scene(rng)
    base = {}
    if rng.random() < 0.35:
        base = dict(STATES[rng.choice(["season/winter", "season/autumn", "hour/sunset", "hour/night", "weather/overcast", "weather/fog", "weather/storm"])])
    meta = {"source": len(images), "edits": [], "wishes": []}
    images.append(scene.paint(base))

    def put(kind, name, change, texts):
        images.append(scene.paint(base | change))
        meta["edits"].append({"kind": kind, "name": name, "row": len(images) - 1, "texts": texts})

    for name in rng.choice(list(WHOLE), 4, replace=False):
        put(name.split("/")[0], name, STATES[name], sample(rng, WHOLE[name]))
    usable = [k for k in LOCAL if NEEDS.get(k, "sky") in scene.parts]
    for name in rng.choice(usable, min(4, len(usable)), replace=False):
        put("local", str(name), STATES[name], sample(rng, LOCAL[name]))
    parts = [p for p in PART_WORDS if p in scene.parts]
    for part in rng.choice(parts, min(4, len(parts)), replace=False):
        colour = str(rng.choice(list(COLOURS)))
        put("recolour", f"recolour/{part}", {"recolour": {str(part): colour}}, paint_texts(rng, str(part), colour))
    first, second = rng.choice(usable), rng.choice(parts)
    colour = str(rng.choice(list(COLOURS)))
    put("double", "double", STATES[first] | {"recolour": {str(second): colour}}, [f"{a} and {b}" for a, b in zip(sample(rng, LOCAL[first], 3), paint_texts(rng, str(second), colour, 3))])
    absent = [p for p in PART_WORDS if p not in scene.parts]
    for part in rng.choice(absent, min(2, len(absent)), replace=False) if absent else []:
        meta["edits"].append({"kind": "recolour", "name": "absent", "row": None, "texts": paint_texts(rng, str(part), str(rng.choice(list(COLOURS))))})
    for name in [k for k in LOCAL if NEEDS.get(k, "sky") not in scene.parts][:2]:
        meta["edits"].append({"kind": "local", "name": "absent", "row": None, "texts": sample(rng, LOCAL[name])})
    wish = str(rng.choice(list(WISHES)))
    texts, names = WISHES[wish]
    change = {}
    for n in names:
        if n in usable:
            change |= STATES[n]
    images.append(scene.paint(base | change))
    meta["wishes"].append({"name": wish, "texts": texts, "row": len(images) - 1, "specifics": []})
    tones(rng, images, meta, 2)
    return meta


def tones(rng, images, meta, n):
    """`n` colour edits of the picture `meta` starts from."""
    a = images[meta["source"]].astype(np.float32) / 255
    for name in rng.choice(photometric.NAMES, n, replace=False):
        images.append((photometric.apply(name, a) * 255).astype(np.uint8))
        meta["edits"].append({"kind": "photometric", "name": f"tone/{name}", "row": len(images) - 1, "texts": sample(rng, TONES[name])})


def main():
    folder, shard, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    rng = np.random.default_rng(seed)
    images, metas = [], []
    for i in range(count):
        if i % 4 == 3:
            meta = {"source": len(images), "edits": [], "wishes": []}
            images.append(picture(rng, SIZE))
            tones(rng, images, meta, 4)
            for _ in range(2):
                meta["edits"].append({"kind": "recolour", "name": "absent", "row": None, "texts": paint_texts(rng, str(rng.choice(["roof", "car", "door", "boat", "fence"])), str(rng.choice(list(COLOURS))))})
        else:
            meta = landscape(rng, images)
        metas.append(meta)
    np.save(f"{folder}/images-{shard:03d}.npy", np.stack(images))
    with open(f"{folder}/meta-{shard:03d}.jsonl", "w") as f:
        f.writelines(json.dumps(m) + "\n" for m in metas)


if __name__ == "__main__":
    main()
