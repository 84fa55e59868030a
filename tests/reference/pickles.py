"""Makes tests/parity/fixtures/pickles: PyTorch weight files, good and hostile, for the converter's tests.

Run from the repository's root with torch and safetensors installed. `good.bin` and `lightning.ckpt` hold the tensors of
`expected.safetensors`; the files in `hostile/` must be refused. Nothing here runs what the hostile files ask for.
"""

import collections
import io
import os
import pickle
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path("tests/parity/fixtures/pickles")
HOSTILE = HERE / "hostile"
HOSTILE.mkdir(parents=True, exist_ok=True)

torch.manual_seed(7)
base = torch.randn(4, 6)
tensors = {
    "float": torch.randn(2, 3),
    "half": torch.randn(5).half(),
    "brain": torch.randn(3).bfloat16(),
    "double": torch.randn(2, 2).double(),
    "ids": torch.arange(4).reshape(1, 4),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "transposed": base.t(),
    "slice": base[1:3, ::2],
    "tied": base,
}
save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, HERE / "expected.safetensors")

good = collections.OrderedDict(tensors)
good["parameter"] = torch.nn.Parameter(tensors["float"].clone())
good._metadata = {"": {"version": 1}}
torch.save(good, HERE / "good.bin")
torch.save(load_file("tests/parity/fixtures/edit/folders/odd/vae/diffusion_pytorch_model.safetensors"), HERE / "odd_vae.bin")
torch.save(good, HERE / "legacy.bin", _use_new_zipfile_serialization=False)


class Callback:
    """Stands for the classes of a training framework that a checkpoint drags along."""

    def __init__(self):
        self.best = 0.5


Callback.__module__ = "some_framework.callbacks"
Callback.__qualname__ = "Callback"
import sys, types  # noqa: E401, E402

module = types.ModuleType("some_framework.callbacks")
module.Callback = Callback
sys.modules["some_framework"] = types.ModuleType("some_framework")
sys.modules["some_framework.callbacks"] = module
torch.save(
    {"epoch": 3, "state_dict": dict(tensors), "callbacks": {Callback: Callback()}, "rates": {1, 2}, "big": 2**80, "loss": float("nan"),
     "optimizer_states": [{"state": {0: {"exp_avg": torch.randn(3)}}}]},
    HERE / "lightning.ckpt",
)
torch.save({"weight": torch.randn(2), "callback": Callback()}, HOSTILE / "object_among_weights.bin")


class Calls:
    """Pickles to a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


torch.save({"weight": torch.randn(2), "x": Calls(os.system, "true")}, HOSTILE / "system.bin")
torch.save({"state_dict": {"weight": torch.randn(2)}, "x": Calls(eval, "1")}, HOSTILE / "eval_beside_weights.ckpt")
torch.save({"state_dict": {"weight": torch.randn(2)}, "x": Calls(__import__, "os")}, HOSTILE / "import_beside_weights.ckpt")


def archive(name, description, storage=b"\0" * 16, compression=zipfile.ZIP_STORED, extra=()):
    with zipfile.ZipFile(HOSTILE / name, "w", compression) as out:
        for entry, data in [("m/data.pkl", description), ("m/data/0", storage), *extra]:
            out.writestr(zipfile.ZipInfo(entry, (2020, 1, 1, 0, 0, 0)), data, compression)


def view(offset, shape, strides, kind=b"FloatStorage", key=b"0"):
    """A pickle of {"w": tensor} whose view is whatever is asked for."""

    def integer(value):
        return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)

    def row(values):
        return b"(" + b"".join(map(integer, values)) + b"t"

    def text(value):
        return b"X" + len(value).to_bytes(4, "little") + value

    reference = b"(" + text(b"storage") + b"ctorch\n" + kind + b"\n" + text(key) + text(b"cpu") + integer(4) + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + integer(offset) + row(shape) + row(strides) + b"\x89N" + b"tR"
    return b"\x80\x02}" + text(b"w") + call + b"s."


archive("beyond_the_end.bin", view(1, [4], [1]))
archive("negative.bin", view(-1, [4], [1]))
archive("overflow.bin", view(0, [2**62, 2**62], [1, 1]))
archive("expanded_to_terabytes.bin", view(0, [2**40], [0]))
archive("other_storage.bin", view(0, [4], [1], key=b"../../etc/passwd"))
archive("unknown_type.bin", view(0, [4], [1], kind=b"QuantumStorage"))
archive("ranks_differ.bin", view(0, [2, 2], [1]))
archive("packed.bin", view(0, [4], [1]), compression=zipfile.ZIP_DEFLATED)
archive("endless_text.bin", b"\x80\x02X\xff\xff\xff\xff.")
archive("huge_length.bin", b"\x80\x04\x8d" + b"\xff" * 8 + b".")
archive("empty_stack.bin", b"\x80\x02R.")
archive("lost_mark.bin", b"\x80\x02(N00t.")
archive("never_ends.bin", b"\x80\x02N")
archive("unknown_memo.bin", b"\x80\x02h\x07.")
archive("unknown_instruction.bin", b"\x80\x02\xfe.")
archive("text_protocol.bin", b"cos\nsystem\n(S'true'\ntR.")
archive("stack_global.bin", b"\x80\x04\x8c\x05posix\x8c\x06system\x93)R.")
archive("inst.bin", b"(S'true'\nios\nsystem\n.")
archive("deep.bin", b"\x80\x02" + b"]" * 50000 + b"a" * 49999 + b".")
archive("cycle.bin", b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.")
archive("no_dictionary.bin", b"\x80\x02K\x01.")
archive("big_endian.bin", view(0, [4], [1]), extra=[("m/byteorder", b"big")])


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value


# The ways to call something that are known from attacks (fickling's and others' lists), each beside honest weights.
def beside_weights(name, payload, **how):
    weights = view(0, [4], [1])
    archive(name, weights[:-1] + text(b"x") + payload + b"s.", **how)


beside_weights("global_reduce.bin", b"cposix\nsystem\n(" + text(b"true") + b"tR")
beside_weights("global_and_object.bin", b"(cposix\nsystem\n" + text(b"true") + b"o")
beside_weights("newobj.bin", b"csubprocess\nPopen\n(" + text(b"true") + b"t\x81")
beside_weights("newobj_ex.bin", b"csubprocess\nPopen\n(" + text(b"true") + b"t}\x92")
beside_weights("build.bin", b"ctypes\nFunctionType\n)\x81}" + text(b"__setstate__") + b"cos\nsystem\nsb" + text(b"true") + b"b")
beside_weights("extension_1.bin", b"\x82\x01(tR")
beside_weights("extension_2.bin", b"\x83\x01\x00(tR")
beside_weights("extension_4.bin", b"\x84\x01\x00\x00\x00(tR")
beside_weights("stack_global_by_memo.bin", b"\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x930N")
beside_weights("pickle_in_pickle.bin", b"cpickle\nloads\n(" + text(pickle.dumps(1, 0)) + b"tR")
beside_weights("dotted.bin", b"cos.path\nos.system\n(" + text(b"true") + b"tR")
beside_weights("getattr_of_import.bin", b"c__builtin__\n__import__\n(" + text(b"os") + b"tR")
beside_weights("runpy.bin", b"crunpy\n_run_code\n(" + text(b"1") + b"}tR")
beside_weights("asyncio.bin", b"casyncio.unix_events\n_UnixSubprocessTransport._start\n(tR")
beside_weights("download.bin", b"curllib.request\nurlopen\n(" + text(b"http://localhost") + b"tR")
beside_weights("text_persistent.bin", b"Psomething\n")
beside_weights("long4.bin", b"\x8b\xff\xff\xff\x7f")
beside_weights("bytearray8.bin", b"\x96" + b"\xff" * 8)
beside_weights("buffers.bin", b"\x97")
archive("billion_laughs.bin", b"\x80\x02K\x01K\x02\x86q\x00]q\x01(" + b"h\x00" * 1000 + b"eccollections\nOrderedDict\nq\x02" + b"h\x02h\x01\x85R" * 3000 + b".")
archive("long_name_everywhere.bin", b"\x80\x02X" + (5000).to_bytes(4, "little") + b"a" * 5000 + b"q\x000" + view(0, [4], [1])[2:-1].replace(text(b"w"), b"h\x00") + b".")
archive("packed_bomb.bin", b"\x80\x02" + b"N0" * 2_000_000 + b"}.", compression=zipfile.ZIP_DEFLATED)


def overlapping(name):
    """Two entries of the directory that point at one place of the file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for entry, data in [("m/data.pkl", view(0, [4], [1])), ("m/data/0", b"\0" * 16), ("m/data/1", b"\0" * 16)]:
            out.writestr(zipfile.ZipInfo(entry, (2020, 1, 1, 0, 0, 0)), data)
    data = bytearray(buffer.getvalue())
    entries = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]
    data[entries[2] + 42 : entries[2] + 46] = data[entries[1] + 42 : entries[1] + 46]
    (HOSTILE / name).write_bytes(bytes(data))


overlapping("overlapping_parts.bin")

buffer = io.BytesIO()
with zipfile.ZipFile(buffer, "w") as out:
    out.writestr(zipfile.ZipInfo("word/document.xml", (2020, 1, 1, 0, 0, 0)), b"<x/>")
(HOSTILE / "a_document.bin").write_bytes(buffer.getvalue())
(HOSTILE / "bare_pickle.bin").write_bytes(pickle.dumps({"a": 1}, protocol=2))
(HOSTILE / "page.bin").write_bytes(b"<!DOCTYPE html><html>Sign in</html>")

# FiT3D's scene packs (spec/fit3d.md section 1.6): a dictionary of scenes, each with tensors and its decoder's state.
draw = torch.Generator().manual_seed(11)
scenes = {}
for name in ["0b031f3119", "0a7cc12c0e"]:
    scenes[name] = {
        "feat_cnn": collections.OrderedDict({"0.weight": torch.randn(12, 64, 3, 3, generator=draw)}),
        "means3D": torch.randn(5, 3, generator=draw),
        "shs": torch.randn(5, 16, 3, generator=draw),
        "sem": torch.randn(5, 64, generator=draw),
        "opacity": torch.linspace(0.1, 0.9, 5)[:, None],
        "scales": torch.rand(5, 3, generator=draw) + 0.01,
        "rotations": torch.nn.functional.normalize(torch.randn(5, 4, generator=draw)),
    }
torch.save(scenes, HERE / "fit3d_scenes.pth")
