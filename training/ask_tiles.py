"""Tiles for the tower of the Ask model: crops of scenes, with further signs painted into them, and what every patch shows.

The scenes' own signs are rare; painting some with the world's font and proportions makes every tile tell of letters.
"""
import glob
import json
import os
import re

import numpy as np
from PIL import Image

WORDS = ("CAFE HOTEL INN BAR TEA MILK EGGS FISH SHOP BANK POST TAXI BUS STOP EXIT OPEN SALE FARM MILL PARK ZOO BOOKS TOYS ART FERRY PORT LAKE BEACH "
         "HILL WOOD SLOW ROAD BIKE CAMP PIZZA ICE 12 17 21 24 30 36 45 58 63 70 84 99").split()
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
SOURCE = os.path.join(os.path.dirname(__file__), "../src/world/render/font.rs")
PAINTS = np.array([[0xB8, 0x30, 0x28], [0xE0, 0x7A, 0x22], [0xEA, 0xC5, 0x3A], [0x45, 0x8A, 0x3C], [0x2C, 0x60, 0xB4], [0x78, 0x45, 0xA2],
                   [0xF2, 0xF0, 0xEA], [0x22, 0x22, 0x26], [0xF2, 0xEC, 0xDC], [0x2E, 0x6E, 0x4E]], np.float32)
MEAN, STD = np.array([0.48145466, 0.4578275, 0.40821073], np.float32), np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
PARTS = 18
LIT = 8  # the number of the class "window"


def read_font():
    """[36 + 1, 7, 5] bool, from the world's own source; the last one is empty."""
    rows = {m[1]: [int(v) for v in m[2].split(",")] for m in re.finditer(r"'(.)' => \[([\d, ]+)\]", open(SOURCE).read())}
    font = np.zeros((len(LETTERS) + 1, 7, 5), bool)
    for i, letter in enumerate(LETTERS):
        font[i] = [[bool(row >> (4 - k) & 1) for k in range(5)] for row in rows[letter]]
    return font


FONT = read_font()


def on_board(corners, x, y):
    """Pixel positions -> (u to the right, v upwards), 0..1 on the board; corners are bottom left, bottom right, top right, top left."""
    a, b, c, d = np.asarray(corners, np.float32)
    e, f = ((b - a) + (c - d)) / 2, ((d - a) + (c - b)) / 2
    o = (a + b + c + d) / 4 - e / 2 - f / 2
    det = e[0] * f[1] - e[1] * f[0]
    px, py = x - o[0], y - o[1]
    return (px * f[1] - py * f[0]) / det, (py * e[0] - px * e[1]) / det


def letter_at(text, u, v, gap=0.5):
    """Index of the letter of `text` whose cell holds the point; -1 outside. `gap` widens a cell into the space beside it."""
    x, y = u * (6 * len(text) + 2) - 1.5 + gap, (1 - v) * 11
    i = np.floor(x / 6).astype(int)
    return np.where((i >= 0) & (i < len(text)) & (y > 1) & (y < 10) & (u > 0) & (u < 1), i, -1)


def paint(tile, text, corners, board, light, haze):
    """Paints a sign into a tile, f32 [h, w, 3] of 0..255."""
    h, w, _ = tile.shape
    c = np.asarray(corners)
    x0, y0 = np.maximum(np.floor(c.min(0) - 2).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(c.max(0) + 2).astype(int), (w, h))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    n = 3
    ys, xs = np.meshgrid(y0 + (np.arange((y1 - y0) * n) + 0.5) / n, x0 + (np.arange((x1 - x0) * n) + 0.5) / n, indexing="ij")
    u, v = on_board(corners, xs, ys)
    columns = 6 * len(text) + 2
    x, y = u * columns - 1.5, (1 - v) * 11 - 2
    i, k, row = np.clip((x // 6).astype(int), 0, len(text) - 1), (x % 6).astype(int), np.clip(y.astype(int), 0, 6)
    ids = np.array([LETTERS.index(l) for l in text])
    ink = FONT[ids[i], row, np.minimum(k, 4)] & (k < 5) & (x >= 0) & (x < 6 * len(text)) & (y >= 0) & (y < 7)
    m = np.minimum(np.minimum(u, 1 - u) * 2.2, np.minimum(v, 1 - v))
    rim = 0.8 * ((m > 0.03) & (m < 0.06))
    letter = np.array([244, 240, 228] if board.mean() < 130 else [38, 42, 48], np.float32)
    share = np.maximum(ink, rim)[..., None]
    colour = board * (1 - share) + letter * share
    aspect = np.hypot(*(c[1] - c[0])) / max(np.hypot(*(c[3] - c[0])), 1)
    frame = (np.abs(v - 0.5) < 0.59) & (np.abs(u - 0.5) < 0.5 + 0.09 / aspect)
    inside = (m > 0) & frame
    colour = np.where(inside[..., None], colour, np.array([70, 52, 36], np.float32)) * light * (1 - haze) + 205 * haze
    alpha = frame[..., None].astype(np.float32)
    fold = lambda t: t.reshape(y1 - y0, n, x1 - x0, n, -1).mean((1, 3))
    a = fold(alpha)
    tile[y0:y1, x0:x1] = tile[y0:y1, x0:x1] * (1 - a) + fold(colour * alpha)


class Tiles:
    """Batches of tiles at high-resolution scale, with a share of whole pictures shrunk to a tile."""

    def __init__(self, folder, side, patch, seed):
        self.rng = np.random.default_rng(seed)
        self.side, self.patch, self.grid = side, patch, side // patch
        self.pages = []
        for path in sorted(glob.glob(folder + "/images-*.npy")):
            number = path[-7:-4]
            images, classes = np.load(path, mmap_mode="r"), np.load(f"{folder}/class-{number}.npy", mmap_mode="r")
            meta = [json.loads(line) for line in open(f"{folder}/meta-{number}.jsonl")]
            self.pages.append((images, classes, meta))
        self.rows = [(p, r) for p, page in enumerate(self.pages) for r in range(len(page[0]))]
        self.centre = np.arange(self.grid) * patch + patch / 2

    def draw_sign(self):
        r = self.rng
        text = WORDS[r.integers(len(WORDS))]
        high = r.uniform(8, 19)
        wide = high * (0.45 + 0.62 * len(text)) * r.uniform(0.82, 1.0)
        x, y = r.uniform(-0.35 * wide, self.side - 0.65 * wide), r.uniform(-0.2 * high, self.side - 0.8 * high)
        tilt, taper = r.uniform(-0.08, 0.08) * wide, r.uniform(0.94, 1.06)
        corners = np.array([[x, y + high], [x + wide, y + high * taper + tilt], [x + wide, y + tilt * taper], [x, y]], np.float32)
        board = PAINTS[r.integers(len(PAINTS))] * r.uniform(0.9, 1.1, 3).astype(np.float32)
        return text, corners, board

    def label(self, word, letter, text, corners, size=None):
        """Writes a sign into the label maps."""
        ys, xs = np.meshgrid(self.centre, self.centre, indexing="ij")
        u, v = on_board(corners, xs, ys)
        margin = 0.25
        on = (u > -0.03) & (u < 1.03) & (v > -margin) & (v < 1 + margin)
        word[on] = WORDS.index(text) + 1
        i = letter_at(text, u, v)
        ids = np.array([LETTERS.index(l) + 1 for l in text])
        letter[on] = np.where(i >= 0, ids[np.maximum(i, 0)], 0)[on]

    def one(self):
        r, side, p = self.rng, self.side, self.patch
        page, row = self.rows[r.integers(len(self.rows))]
        images, classes, meta = self.pages[page]
        word, letter = np.zeros((self.grid, self.grid), int), np.zeros((self.grid, self.grid), int)
        whole = r.random() < 0.15
        if whole:
            tile = np.asarray(Image.fromarray(np.array(images[row])).resize((side, side), Image.BILINEAR), np.float32)
            k = images.shape[1] // side
            klass = classes[row][k // 2 :: k, k // 2 :: k]
        else:
            signs = meta[row]["signs"]
            if signs and r.random() < 0.5:  # near a real sign
                c = np.array(signs[r.integers(len(signs))]["corners"]).mean(0)
                x, y = (np.clip(int(v + r.integers(-side, side) * 0.6) - side // 2, 0, images.shape[1] - side) for v in c)
            else:
                x, y = r.integers(0, images.shape[1] - side, 2)
            tile = np.array(images[row, y : y + side, x : x + side], np.float32)
            klass = classes[row, y : y + side, x : x + side]
            real = [(s["text"], np.array(s["corners"], np.float32) - [x, y]) for s in signs]
            added, boxes = [], [(c.min(0), c.max(0)) for _, c in real]
            for _ in range(r.integers(1, 4)):
                text, corners, board = self.draw_sign()
                low, high = corners.min(0), corners.max(0)
                if any((low < h + 3).all() and (high > l - 3).all() for l, h in boxes):
                    continue
                boxes.append((low, high))
                paint(tile, text, corners, board, r.uniform(0.45, 1.1), max(0.0, r.uniform(-0.4, 0.3)))
                added.append((text, corners))
            for text, corners in real + added:
                self.label(word, letter, text, corners)
        if r.random() < 0.3:
            tile = tile * r.uniform(0.75, 1.2) + r.normal(0, 3, tile.shape).astype(np.float32)
        tile = np.clip(tile, 0, 255)
        cells = klass.reshape(self.grid, p, self.grid, p).transpose(0, 2, 1, 3).reshape(self.grid, self.grid, -1)
        share = np.stack([(cells == c).mean(-1) for c in range(PARTS)], -1).astype(np.float32)
        share[word > 0] = np.eye(PARTS, dtype=np.float32)[15]
        colour = tile.reshape(self.grid, p, self.grid, p, 3).mean((1, 3)) / 255
        return tile, word, letter, share, colour

    def batch(self, n):
        """f32 [n, 3, side, side] normalised; word, letter [n, g*g]; class shares [n, g*g, 18]; mean colour [n, g*g, 3]."""
        tiles, word, letter, share, colour = (np.stack(v) for v in zip(*(self.one() for _ in range(n))))
        pixels = ((tiles / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
        g2 = self.grid**2
        return pixels, word.reshape(n, g2), letter.reshape(n, g2), share.reshape(n, g2, PARTS), colour.reshape(n, g2, 3).astype(np.float32)
