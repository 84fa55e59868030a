"""Writes tests/fixtures/picture_resize.txt: Pillow's resize of a small computed picture with every filter we offer.

    python tests/reference/picture_resize.py > tests/fixtures/picture_resize.txt

Needs Pillow. The test in src/picture/resample.rs draws the same picture and must get the same bytes.
"""

import PIL
from PIL import Image


def sample(width, height):
    picture = Image.new("RGB", (width, height))
    pixels = picture.load()
    for y in range(height):
        for x in range(width):
            red = (x * 7 + y * 13 + (x * y) % 31 * 5) % 256
            green = ((x // 5 + y // 3) % 2) * 255
            blue = (x * x + y * y * 3) % 256
            pixels[x, y] = (red, green, blue)
    return picture


FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
SIZES = [
    ((64, 48), (16, 12)),
    ((61, 37), (16, 16)),
    ((9, 7), (21, 17)),
    ((40, 5), (7, 13)),
    ((33, 20), (33, 9)),
    ((1, 30), (3, 8)),
]

print(f"# Pillow {PIL.__version__}: source width, height, target width, height, filter, RGB bytes")
for source, target in SIZES:
    for name, method in FILTERS.items():
        out = sample(*source).resize(target, method)
        print(*source, *target, name, out.tobytes().hex())
