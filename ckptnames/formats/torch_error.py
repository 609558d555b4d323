"""The message that ``load_state_dict`` fails with, pasted from wherever it was seen, as a partial target."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ckptnames.errors import IncompleteTorchError, NotATorchError
from ckptnames.manifest import Manifest, TensorInfo

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TorchComplaint:
    """What torch says is wrong between a loaded dict and a model."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: Mapping[str, tuple[Shape, Shape]] = field(default_factory=dict)
    """For each key the shape in the checkpoint and the shape in the model."""
    model: str = ""
    """The class of the model, where the message has it."""
    name: str = ""
    """Where the message comes from."""
    cut: bool = False
    """True where a list of keys breaks off, so that more may be missing or unexpected."""


def is_torch_error(text: str) -> bool:
    """Tell whether a text has in it what torch says of keys and shapes.

    >>> is_torch_error('Unexpected key(s) in state_dict: "fc.bias".'), is_torch_error("error.txt")
    (True, False)
    """
    return _COMPLAINT.search(text) is not None


def parse_torch_error(text: str, name: str = "") -> TorchComplaint:
    r"""Find the keys in a message of ``load_state_dict``, whatever a terminal, a log or a web page made of it.

    >>> parse_torch_error('Missing key(s) in state_dict: "fc.weight", \n"fc.bias".').missing
    ('fc.weight', 'fc.bias')

    Raises ``not-a-torch-error``.
    """
    plain = _unwrapped(text)
    missing, cut_missing = _listed(_MISSING, plain)
    unexpected, cut_unexpected = _listed(_UNEXPECTED, plain)
    mismatched = dict(_mismatches(plain))
    if not (missing or unexpected or mismatched):
        lines = text.splitlines()
        first = next((line.strip() for line in lines if line.strip()), "")
        raise NotATorchError(name, len(lines), f"{first:.80}" if first.isprintable() else "")
    model = _MODEL.search(plain)
    return TorchComplaint(
        missing, unexpected, mismatched, model[1] if model else "", name, cut_missing or cut_unexpected
    )


def partial_target(source: Manifest, complaint: TorchComplaint) -> Manifest:
    """Give the keys that the model is known to have: what torch misses, and what it took from the source in silence.

    A source key that torch did not complain of is in the model with the same shape, but only where the message is
    whole and speaks of this very source: the keys that torch found unexpected stand in it, the missing ones do not.

    The manifest is partial where it has not all keys of the model.

    >>> source = Manifest({"a": TensorInfo("F32", (2,)), "b": TensorInfo("F32", (2,))})
    >>> list(partial_target(source, TorchComplaint(missing=("c",), unexpected=("b",))))
    ['a', 'c']

    Raises ``incomplete-torch-error`` where the message names no key that the model has.
    """
    tensors: dict[str, TensorInfo] = {}
    unexpected = set(complaint.unexpected)
    is_whole = _speaks_of(complaint, source)
    for key, info in source.items() if is_whole else ():
        if key not in unexpected:
            # torch converts dtypes without a word: that of the model is not known.
            tensors[key] = TensorInfo(None, info.shape)
    for key, (_, shape) in complaint.mismatched.items():
        tensors[key] = TensorInfo(None, shape)
    for key in complaint.missing:
        tensors.setdefault(key, TensorInfo(None, None))
        # Batch norms make this counter in silence where the loaded dict tells no version, and do not call it missing.
        if key.endswith(".running_var"):
            tensors.setdefault(f"{key.removesuffix('running_var')}num_batches_tracked", TensorInfo("I64", ()))
    if not tensors:
        raise IncompleteTorchError(complaint.name, len(complaint.unexpected))
    why = "it breaks off" if complaint.cut else "it is not about this source"
    notes = () if is_whole else (f"the message does not name all keys of the model: {why}",)
    return Manifest(tensors, name=complaint.name, format="torch-error", partial=not is_whole, notes=notes)


def _speaks_of(complaint: TorchComplaint, source: Manifest) -> bool:
    return (
        not complaint.cut
        and all(key in source for key in complaint.unexpected)
        and not any(key in source for key in complaint.missing)
        and all(
            key in source and source[key].shape in (None, shape) for key, (shape, _) in complaint.mismatched.items()
        )
    )


_COMPLAINT = re.compile(r"(?:Missing|Unexpected) key\(s\) in state_dict|size mismatch for \S+: copying a param")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_QUOTES = str.maketrans({**dict.fromkeys("“”„‟″«»", '"'), **dict.fromkeys("‘’‚‛′", "'")})
_PREFIX = re.compile(
    r"""[ \t]*(?:
        \[(?=[^\]\n]*[A-Za-z:])[^\[\]\n]{1,80}\]:?                                   # [rank0]: [2026-01-31 10:00:00]
      | \[\d+,\d+\]<std(?:err|out)>:                                                 # mpirun
      | \([\w ]+\bpid=\d+[^()\n]*\)                                                  # ray
      | \d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[ ]?[+-]\d\d:?\d\d)?
      | \d\d:\d\d:\d\d(?:[.,]\d+)?
      | [EWIF]\d{4}[ ][\d:.]+[ ]+\d+(?:[ ][\w.]+:\d+\])?                             # glog
      | [\w.-]+[ ]*\|(?=\s)                                                          # docker compose
      | (?:CRITICAL|DEBUG|ERROR|INFO|WARNING)\b:?
      | [>│┃|](?=\s)
      | -(?=\s)
    )""",
    re.X,
)
_LABEL = re.compile(r"\s*\d+:\s")  # srun --label
_FRAME = " \t\r│┃|"


def _unwrapped(text: str) -> str:
    """Take away what was put around the message, and join its lines.

    A terminal breaks a line anywhere, also inside a key, so nothing is left where the break was.
    """
    text = _ESCAPES.sub("", text).translate(_QUOTES).replace("&quot;", '"').replace("\\n", "\n").replace("\\t", "\t")
    lines = [line for line in text.replace('\\"', '"').splitlines() if line.strip()]
    if all(map(_LABEL.match, lines)):
        lines = [_LABEL.sub("", line, count=1) for line in lines]
    return "".join(map(_without_prefix, lines))


def _without_prefix(line: str) -> str:
    at = 0
    while match := _PREFIX.match(line, at):
        at = match.end()
    return line[at:].strip(_FRAME)


def _words(text: str) -> str:
    """Make a pattern of words that a line break may have joined or cut."""
    return r"\s*".join(re.escape(character) for character in text.replace(" ", ""))


_MISSING = re.compile(rf"{_words('Missing key(s) in state_dict:')}|missing_keys\s*=\s*\[")
_UNEXPECTED = re.compile(rf"{_words('Unexpected key(s) in state_dict:')}|unexpected_keys\s*=\s*\[")
_MODEL = re.compile(rf"{_words('Error(s) in loading state_dict for')}\s*(\w+)\s*:")
_KEY = re.compile(r"""\s*(?:"([^"]{1,2000})"|'([^']{1,2000})')\s*(,?)""")
_SIZE = r"torch\s*\.\s*Size\s*\(\s*\[([\d\s,]*)\]\s*\)"
_MISMATCH = re.compile(
    rf"{_words('size mismatch for')}\s*([^:]{{1,2000}}?)\s*:\s*{_words('copying a param')}"
    rf"(?:{_words('with shape')}|{_words('of')}|\s)*{_SIZE}\s*{_words('from checkpoint,')}"
    rf"[\w\s]{{0,60}}?{_SIZE}"
)


def _listed(heading: re.Pattern[str], text: str) -> tuple[tuple[str, ...], bool]:
    """Give the quoted keys after each heading, and whether a list breaks off."""
    keys: dict[str, None] = {}
    cut = False
    for start in heading.finditer(text):
        at, more = start.end(), True
        while more and (match := _KEY.match(text, at)):
            keys[match[1] or match[2]] = None
            at, more = match.end(), bool(match[3])
        end = text[at:].lstrip()[:3]
        cut = cut or more or end[:1] not in (".", "]") or end == "..."
    return tuple(keys), cut


def _mismatches(text: str) -> Iterator[tuple[str, tuple[Shape, Shape]]]:
    for key, source, target in _MISMATCH.findall(text):
        yield key, (_shape(source), _shape(target))


def _shape(text: str) -> Shape:
    return tuple(int(size) for size in re.sub(r"\s", "", text).split(",") if size)
