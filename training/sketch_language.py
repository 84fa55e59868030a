"""Captions for painted sketches, and specifications: caption + vague wish -> concrete instructions.

`python training/sketch_language.py FOLDER PICTURES TEXTS SEED` writes images-900.npy (112 px) with meta-900.jsonl, and
texts-900.jsonl. Every line is one that the editor is taught, and names only the sky, the ground, or what the caption names.
"""
import json
import sys

import numpy as np
from PIL import Image

from sketch import LOCAL, NEEDS, STATES, TONES, Scene

SEASONS = {"": ["in summer", "on a clear day", ""], "season/winter": ["in winter", "covered in snow"], "season/autumn": ["in autumn"], "hour/sunset": ["at sunset"],
           "hour/night": ["at night"], "weather/overcast": ["under a grey sky"], "weather/fog": ["in fog"], "weather/storm": ["in a storm"]}
S, T = "local", "tone"
# wish: phrasings, and what may realise it (names of sketch.LOCAL, "tone/NAME", or a recolouring "part:colour")
WISHES = {
    "winter": ("winter;wintry;cold and snowy;like december;snowy", "snow on roof,snow on ground,freeze water,snow on trees,overcast sky,snow on mountains,bare trees,tone/cooler"),
    "autumn": ("autumn;autumnal;like october;like fall", "orange leaves,dry grass,overcast sky,tone/warmer,wet road,ground fog"),
    "spring": ("spring;springlike;like april;fresh and blooming", "blossom,flowers,clear sky,tone/brighter"),
    "summer": ("summer;summery;like july;like a holiday", "clear sky,flowers,tone/warmer,tone/saturated,grass:green"),
    "night": ("night;late at night;like midnight;dark", "starry sky,light windows,tone/darker,tone/cooler"),
    "evening": ("evening;like golden hour;the end of the day;like sunset", "sunset sky,light windows,tone/warmer,tone/darker"),
    "cosy": ("cosy;cozy;homely;inviting;warm and welcoming", "light windows,sunset sky,snow on roof,tone/warmer,door:red,fence:white"),
    "spooky": ("spooky;creepy;scary;haunted;like halloween;like a ghost story", "bare trees,storm sky,ground fog,light windows,tone/darker,walls:black,dry grass"),
    "romantic": ("romantic;like a love story;made for lovers", "sunset sky,light windows,flowers,blossom,tone/warmer,roof:pink"),
    "dreamy": ("dreamy;like a dream;magical;like a fairy tale;enchanted", "blossom,ground fog,starry sky,flowers,tone/faded,sky:pink,leaves:purple"),
    "dramatic": ("dramatic;epic;thrilling;like a film", "storm sky,tone/contrast,tone/darker,sunset sky"),
    "stormy": ("stormy;wild;like a tempest;menacing", "storm sky,wet road,tone/darker,bare trees"),
    "gloomy": ("gloomy;sad;melancholic;dreary;depressing", "overcast sky,bare trees,tone/faded,ground fog,wet road,tone/darker"),
    "happy": ("happy;cheerful;joyful;lively;friendly", "clear sky,flowers,tone/brighter,tone/saturated,walls:yellow,door:red"),
    "nostalgic": ("nostalgic;old;like an old photo;from the past;vintage", "tone/vintage,tone/faded,dry grass,car:brown"),
    "abandoned": ("abandoned;deserted;forgotten;post-apocalyptic", "bare trees,dry grass,overcast sky,walls:grey,tone/faded,ground fog"),
    "mysterious": ("mysterious;mystical;secretive", "ground fog,starry sky,tone/darker,bare trees,light windows"),
    "peaceful": ("peaceful;calm;quiet;serene;relaxing", "clear sky,ground fog,flowers,water:blue,tone/warmer"),
    "christmas": ("christmas;like the holidays;festive;like christmas eve", "snow on roof,snow on trees,light windows,snow on ground,starry sky,door:red"),
    "desert": ("desert;hot and dry;like a heat wave;scorched", "dry grass,clear sky,tone/warmer,bare trees,grass:yellow"),
    "arctic": ("arctic;like the north pole;polar;frozen", "snow on ground,freeze water,snow on mountains,snow on roof,tone/cooler,snow on trees"),
    "mediterranean": ("mediterranean;like greece;like italy", "walls:white,roof:orange,water:turquoise,clear sky,door:blue"),
    "colourful": ("colourful;like a toy town;playful;funny", "roof:purple,walls:pink,car:yellow,leaves:orange,tone/saturated,door:turquoise"),
    "misty": ("misty;hazy;like an early morning;like dawn", "ground fog,tone/faded,overcast sky,wet road"),
    "alien": ("alien;like another planet;like science fiction", "sky:purple,grass:turquoise,leaves:pink,water:red,starry sky"),
}
FRAMES = ["make it feel {w}", "make it {w}", "it should look {w}", "give it a {w} mood", "I want it to be {w}", "make the picture look {w}", "{w}", "could you make it {w}?", "please make this {w}", "turn it into something {w}", "more {w}"]
UNKNOWN = ["make it better", "surprise me", "do something nice", "make it look like a banana", "improve this", "change it", "something else please", "make it pop", "impress my friends", "do your thing", "make it abstract", "like jazz music"]
GENERAL = "clear sky,tone/warmer,tone/contrast,tone/saturated,sunset sky,tone/brighter,flowers"
PARTS = {"roof": ["roof", "roofs"], "walls": ["walls"], "door": ["door"], "car": ["car"], "leaves": ["leaves", "trees"], "grass": ["grass"], "water": ["water"], "fence": ["fence"], "sky": ["sky"]}
PAINT = ["paint the {p} {c}", "make the {p} {c}", "turn the {p} {c}"]


def describe(rng, scene, base):
    """A caption of at most about 15 words and the parts it names."""
    houses = sum(s[0] == "door" for s in scene.shapes)
    named = {"sky", "grass"}
    if houses:
        named |= {"roof", "walls", "door", "windows"}
    subject = str(rng.choice(["a village", "some houses", "a few houses"]) if houses > 1 else rng.choice(["a house", "a small house", "a cottage"]) if houses else rng.choice(["a meadow", "a green field", "an open landscape"]))
    words = []
    if "water" in scene.parts:
        named.add("water")
        words.append(str(rng.choice(["by a lake", "by the water"])))
    if "mountains" in scene.parts and rng.random() < 0.85:
        named.add("mountains")
        words.append(str(rng.choice(["below mountains", "in front of mountains"])))
    extras = []
    for part, phrase in (("leaves", "trees"), ("car", "a car"), ("boat", "a boat"), ("fence", "a fence"), ("road", "a road")):
        if part in scene.parts and rng.random() < 0.9:
            named.add(part)
            extras.append(phrase)
    if extras:
        words.append("with " + (", ".join(extras[:-1]) + " and " + extras[-1] if len(extras) > 1 else extras[0]))
    words.append(str(rng.choice(SEASONS[base])))
    return " ".join([subject, *[w for w in words if w]]), named


def line(rng, name):
    if name.startswith("tone/"):
        return str(rng.choice(TONES[name[5:]]))
    if ":" in name:
        p, c = name.split(":")
        return str(rng.choice(PAINT)).format(p=rng.choice(PARTS[p]), c=c)
    return str(rng.choice(LOCAL[name]))


def part_of(name):
    return "sky" if name.startswith("tone/") else name.split(":")[0] if ":" in name else NEEDS.get(name, "sky")


def specification(rng, caption, named):
    if rng.random() < 0.1:
        wish, names = str(rng.choice(UNKNOWN)), GENERAL.split(",")
    else:
        phrasings, names = WISHES[str(rng.choice(list(WISHES)))]
        word = str(rng.choice(phrasings.split(";")))
        wish, names = str(rng.choice(FRAMES)).format(w=word), names.split(",")
    if rng.random() < 0.2:
        wish = wish[:1].upper() + wish[1:] + str(rng.choice(["", ".", "!", " please"]))
    usable = [n for n in names if part_of(n) in named]
    k = int(rng.choice([1, 2, 3, 3, 3, 3, 4, 5]))
    more = [n for n in GENERAL.split(",") if n not in usable]
    # The first names of a wish say it most clearly: they are drawn more often.
    weight = 1 / (1.5 + np.arange(len(usable)))
    chosen = [str(x) for x in rng.choice(usable, min(k, len(usable)), replace=False, p=weight / weight.sum())] if usable else []
    chosen += [str(x) for x in rng.choice(more, k - len(chosen), replace=False)] if k > len(chosen) else []
    return {"caption": caption, "wish": wish, "k": k, "lines": [line(rng, n) for n in chosen]}


def main():
    folder, pictures, texts, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    rng = np.random.default_rng(seed)
    images, metas, specs = [], [], []
    for i in range(max(pictures, texts)):
        scene = Scene(rng)
        base = str(rng.choice(list(SEASONS))) if rng.random() < 0.6 else ""
        caption, named = describe(rng, scene, base)
        if i < pictures:
            images.append(np.asarray(Image.fromarray(scene.paint(STATES.get(base, {}))).resize((112, 112), Image.BICUBIC)))
            metas.append({"source": i, "caption": caption, "captions": [describe(rng, scene, base)[0] for _ in range(3)]})
        specs.append(specification(rng, caption, named))
        specs.append(specification(rng, caption, named))
    np.save(folder + "/images-900.npy", np.stack(images))
    for name, rows in (("meta-900", metas), ("texts-900", specs)):
        with open(f"{folder}/{name}.jsonl", "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows)


if __name__ == "__main__":
    main()
