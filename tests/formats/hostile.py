"""Pickles that would run something, each told from the others by how it would; none does harm if it ever runs."""

from __future__ import annotations

import marshal
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.formats.making import MAGIC, SYSTEM, Called, Named, Outside, legacy, pickled, stored, tensor, torch_zip

WEIGHT = bytes(24)
GOOD = tensor(stored("0", 6), (2, 3), (3, 1))


def payloads(marker: Path) -> dict[str, Called]:
    """Calls that leave a file behind, if they are made, or would reach for what is outside; by what they call."""
    command, source, script = f"touch {marker}", f"open({str(marker)!r}, 'w').close()", str(marker.with_suffix(".py"))
    system, the_os = Named("os.system"), Called("builtins.__import__", "os")
    code = marshal.dumps(compile(source, "payload", "exec"))
    return {
        "os.system": Called(system, command),
        "posix.system": Called("posix.system", command),
        "nt.system": Called("nt.system", command),
        "os.popen": Called("os.popen", command),
        "os.execve": Called("os.execvp", "touch", ["touch", str(marker)]),
        "builtins.exec": Called("builtins.exec", source),
        "builtins.eval": Called("builtins.eval", f"__import__('os').system({command!r})"),
        "__builtin__.eval": Called("__builtin__.eval", f"__import__('os').system({command!r})"),
        "builtins.compile": Called("builtins.exec", Called("builtins.compile", source, "payload", "exec")),
        "builtins.open": Called("builtins.open", str(marker), "w"),
        "builtins.__import__": the_os,
        "builtins.getattr": Called(Called("builtins.getattr", the_os, "system"), command),
        "importlib.import_module": Called(
            Called("builtins.getattr", Called("importlib.import_module", "os"), "system"), command
        ),
        "subprocess.Popen": Called("subprocess.Popen", ["touch", str(marker)]),
        "subprocess.check_output": Called("subprocess.check_output", ["touch", str(marker)]),
        "commands.getoutput": Called("commands.getoutput", command),
        "runpy.run_path": Called("runpy.run_path", script),
        "runpy._run_code": Called("runpy._run_code", Called("builtins.compile", source, "payload", "exec"), {}),
        "pydoc.pipepager": Called("pydoc.pipepager", "", command),
        "pty.spawn": Called("pty.spawn", ["touch", str(marker)]),
        "timeit.timeit": Called("timeit.timeit", source, "pass", Named("time.perf_counter"), 1),
        "code.InteractiveInterpreter": Called(Named("code.InteractiveInterpreter.runsource"), None, source),
        "functools.partial": Called(Called("functools.partial", system, command)),
        "functools.reduce": Called("functools.reduce", system, [command]),
        "operator.methodcaller": Called(Called("operator.methodcaller", "system", command), the_os),
        "operator.attrgetter": Called(Called(Called("operator.attrgetter", "system"), the_os), command),
        "marshal.loads": Called(Called("types.FunctionType", Called("marshal.loads", code), {})),
        "pickle.loads": Called("pickle.loads", pickled(Called(system, command))),
        "torch.load": Called("torch.load", str(marker.with_suffix(".pt"))),
        "torch.hub.load": Called("torch.hub.load", "nobody/nothing", "model"),
        "torch.storage._load_from_bytes": Called(
            "torch.storage._load_from_bytes", pickled(MAGIC) + pickled(Called(system, command))
        ),
        "numpy.load": Called("numpy.load", str(marker.with_suffix(".npy")), None, True),
        "numpy.testing._private.utils.runstring": Called("numpy.testing._private.utils.runstring", source, {}),
        "shutil.rmtree": Called("shutil.rmtree", str(marker)),
        "ctypes.CDLL": Called("ctypes.CDLL", str(marker)),
        "socket.create_connection": Called("socket.create_connection", ("127.0.0.1", 9)),
        "urllib.request.urlopen": Called("urllib.request.urlopen", "http://127.0.0.1:9/"),
        "webbrowser.open": Called("webbrowser.open", "http://127.0.0.1:9/"),
        "sys.settrace": Called("sys.settrace", system),
    }


def streams(marker: Path) -> dict[str, bytes]:
    """Pickles that call ``os.system`` by other opcodes, in other places, or in a stream that breaks."""
    command = f"touch {marker}".encode()
    text = b"X" + struct.pack("<I", len(command)) + command
    system = b"cos\nsystem\n"
    call = system + text + b"\x85R"
    nested = b"]" * 1000 + call + b"a" * 1000
    return {
        "protocol 0": b"cos\nsystem\n(S'" + command + b"'\ntR.",
        "protocol 4": pickled(Called("os.system", command.decode()), 4),
        "protocol 5 in a frame": b"\x80\x05\x95" + struct.pack("<Q", len(call) + 1) + call + b".",
        "INST": b"(S'" + command + b"'\nios\nsystem\n.",
        "OBJ": b"(" + system + text + b"o.",
        "NEWOBJ": system + text + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04" + system + text + b"\x85}\x92.",
        "state of a partial": b"cfunctools\npartial\n(cbuiltins\nprint\ntR(" + system + b"(" + text + b"t}}tb)R.",
        "state through an attribute": b"ctypes\nSimpleNamespace\n)R}X\x0c\x00\x00\x00__setstate__"
        + system
        + b"sb"
        + text
        + b"b.",
        "extension": b"\x80\x02\x82\x07" + text + b"\x85R.",
        "thrown away": call + b"0}.",
        "thrown away with a mark": b"(" + call + b"1N.",
        "in the memo alone": call + b"q\x070]h\x07a.",
        "a key": b"}" + call + b"Ns.",
        "a member of a set": b"\x80\x04\x8f(" + call + b"\x90.",
        "a reference to outside": call + b"Q.",
        "a thousand levels down": nested + b".",
        "without a STOP": call,
        "before an unknown opcode": call + b"\xff.",
        "before the end of a string": call + b"X\xff\xff\xff\x7f",
        "before bytes of an array": b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)R" + call + bytes(range(1, 99)),
        "with a name that steers terminals": b"cos\x1b[31m\nsystem\n" + text + b"\x85R" + call + b".",
        "names in two steps": b"\x80\x04X\x02\x00\x00\x00os\x94X\x06\x00\x00\x00system\x94\x93" + text + b"\x85R.",
    }


def in_tensors(evil: Any) -> dict[str, Any]:
    """Put a value into every place of the call that makes a tensor."""
    hooks = Called("collections.OrderedDict")
    v2 = "torch._utils._rebuild_tensor_v2"
    return {
        "storage": Called(v2, evil, 0, (2, 3), (3, 1), False, hooks),
        "offset": Called(v2, stored("0", 6), evil, (2, 3), (3, 1), False, hooks),
        "size": Called(v2, stored("0", 6), 0, evil, (3, 1), False, hooks),
        "one size": Called(v2, stored("0", 6), 0, (2, evil), (3, 1), False, hooks),
        "strides": Called(v2, stored("0", 6), 0, (2, 3), evil, False, hooks),
        "gradient": Called(v2, stored("0", 6), 0, (2, 3), (3, 1), evil, hooks),
        "hooks": Called(v2, stored("0", 6), 0, (2, 3), (3, 1), False, evil),
        "more arguments": Called(v2, stored("0", 6), 0, (2, 3), (3, 1), False, hooks, evil),
        "the class of the storage": Called(
            v2, Outside("storage", Named("os.system"), "0", "cpu", 6), 0, (2, 3), (3, 1), False, hooks
        ),
        "the place of the storage": Called(
            v2, Outside("storage", Named("torch.FloatStorage"), "0", evil, 6), 0, (2, 3), (3, 1), False, hooks
        ),
        "the function of a type": Called(
            "torch._tensor._rebuild_from_type_v2", Named("os.system"), Named("torch.Tensor"), ("true",), evil
        ),
        "a parameter": Called("torch._utils._rebuild_parameter", evil, True, hooks),
        "the hooks of a parameter": Called("torch._utils._rebuild_parameter", GOOD, True, evil),
        "the attributes of a parameter": Called("torch._utils._rebuild_parameter_with_state", GOOD, True, hooks, evil),
        "a layout": Called("torch._utils._rebuild_sparse_tensor", evil, (GOOD, GOOD, (2, 3))),
        "the array of a tensor": Called(
            "torch._utils._rebuild_device_tensor_from_numpy", evil, "torch.float32", "x", False
        ),
    }


def around_weights(evil: Any) -> dict[str, Any]:
    """Put a value beside good weights, where a training script might have put something of its own."""
    return {
        "an entry": {"model": {"w": GOOD}, "x": evil},
        "an entry of the weights": {"w": GOOD, "x": evil},
        "a key of the weights": {"w": GOOD, evil: 1},
        "the metadata of the weights": Called(
            "collections.OrderedDict", [["w", GOOD]], state={"_metadata": evil, "x": evil}
        ),
        "a module": Called(
            "models.Net", state={"_modules": {}, "_parameters": {"w": GOOD}, "_buffers": {}, "forward": evil}
        ),
        "the class of a module": Called(
            Called("builtins.getattr", Called("builtins.__import__", "os"), "system"),
            state={"_modules": {}, "_parameters": {"w": GOOD}, "_buffers": {}},
        ),
        "text of a class": Called(
            Outside("module", Named("os.system"), "/x.py", "import os; os.system('true')"),
            state={"_modules": {}, "_parameters": {"w": GOOD}, "_buffers": {}},
        ),
    }


def files(folder: Path, marker: Path) -> Iterator[tuple[str, Path]]:
    """Write the corpus; give the kind of each file (raw, zip, legacy, tensor, weights) and its path."""
    storages: Mapping[str, bytes] = {"0": WEIGHT}
    old: Mapping[str, tuple[int, bytes]] = {"0": (6, WEIGHT)}
    for number, (name, payload) in enumerate(payloads(marker).items()):
        raw = folder / f"raw {number} {name}"
        raw.write_bytes(pickled(payload))
        yield "raw", raw
        yield "zip", torch_zip(folder / f"zip {number} {name}", payload, {})
        yield "legacy", legacy(folder / f"legacy {number} {name}", payload, {})
        yield "weights", torch_zip(folder / f"beside {number} {name}", {"model": {"w": GOOD}, "x": payload}, storages)
    for name, stream in streams(marker).items():
        raw = folder / f"raw {name}"
        raw.write_bytes(stream)
        yield "raw", raw
        yield "zip", torch_zip(folder / f"zip {name}", stream, {})
        yield "legacy", legacy(folder / f"legacy {name}", stream, {})
    evil = payloads(marker)["os.system"]
    for name, value in in_tensors(evil).items():
        yield "tensor", torch_zip(folder / f"tensor {name}", {"good": GOOD, "w": value}, storages)
        yield "tensor", legacy(folder / f"old tensor {name}", {"good": GOOD, "w": value}, old)
    for name, value in around_weights(evil).items():
        yield "weights", torch_zip(folder / f"weights {name}", value, storages)
        yield "weights", legacy(folder / f"old weights {name}", value, old)
    yield "weights", legacy(folder / "in the system", {"w": GOOD}, old, system={**SYSTEM, "x": evil})
    yield "weights", legacy(folder / "in the list of storages", {"w": GOOD}, old, keys=Called(evil, ["0"]))
