"""``predict(…, static=True)`` against models that are really built: every builder of a package, by its source.

python -m benchmarks.reading_source torchvision|timm|pytorchcv [--check] [--every N]

The packages are read first, under an audit hook that tells whether a line of them ran; only then are they imported,
and their models built. An answer is exact where keys, order, dtypes and shapes are all there and all right; it is open
where some of it is said not to be known; all else is wrong.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import ckptnames
from ckptnames.manifest import Manifest

Saved = Mapping[str, tuple[str, tuple[int, ...]]]


class Package(NamedTuple):
    """A package of models: where its builders are, how they are told, and what is asked of the answers."""

    folder: str
    builder: re.Pattern[str]
    at_least: float
    one_per_file: bool


PACKAGES = {
    "torchvision": Package("models", re.compile(r"^@register_model\(.*\)\n(?:@.*\n)*def (\w+)\(", re.M), 0.95, False),
    "timm": Package("models", re.compile(r"^@register_model\ndef (\w+)\(", re.M), 0.6, True),
    "pytorchcv": Package("models", re.compile(r"^def ((?!get_|_)[a-z]\w*)\(\*\*kwargs\)", re.M), 0.6, True),
}


class Answer(NamedTuple):
    """What was read of one model, and how long that took."""

    manifest: Manifest
    seconds: float


def operands(name: str) -> Iterator[str]:
    """Name the builders of a package, as they stand in its source."""
    package = PACKAGES[name]
    spec = find_spec(name)
    assert spec is not None and spec.submodule_search_locations, f"install {name}"
    for file in sorted(Path(spec.submodule_search_locations[0], package.folder).glob("*.py")):
        found = package.builder.findall(file.read_text(encoding="utf-8"))
        if found:
            module = f"{name}.{package.folder}.{file.stem}"
            yield from (f"{module}:{builder}" for builder in (found[:1] if package.one_per_file else found))


def read(names: list[str], package: str) -> dict[str, Answer]:
    """Read all models; not one line of the package runs meanwhile."""
    ran: list[str] = []
    watching = True

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if watching and event == "import" and args[0].partition(".")[0] == package:
            ran.append(args[0])
        elif watching and event == "exec" and f"/{package}/" in str(getattr(args[0], "co_filename", "")):
            ran.append(args[0].co_filename)

    sys.addaudithook(hook)
    answers = {}
    for name in names:
        started = time.process_time()
        answers[name] = Answer(ckptnames.predict(name, static=True), time.process_time() - started)
    watching = False
    assert not ran and package not in sys.modules, f"code of {package} ran: {ran[:3]}"
    return answers


def built(operand: str) -> Saved:
    """Say what the model that a builder really makes would save."""
    import torch

    from ckptnames.formats.torch_dtypes import DTYPES

    module, _, builder = operand.partition(":")
    make: Callable[[], Any] = getattr(import_module(module), builder)
    try:
        with torch.device("meta"):
            model = make()
    except (RuntimeError, NotImplementedError):  # It computes with numbers.
        model = make()
    return {
        key: (DTYPES[str(value.dtype).removeprefix("torch.")][0], tuple(value.shape))
        for key, value in model.state_dict().items()
    }


def judged(said: Manifest, saved: Saved) -> str:
    """Call an answer exact, open or wrong."""
    if any(key not in saved for key in said):
        return "wrong"
    facts = {key: (info.dtype, info.shape) for key, info in said.items()}
    if any(None not in found and found != saved[key] for key, found in facts.items()):
        return "wrong"
    if any(key not in said and not said.may_have(key) for key in saved):
        return "wrong"
    if said.open or facts != saved:
        return "open"
    return "exact" if list(said) == list(saved) else "wrong"


def main() -> int:
    """Read, build, compare and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    parser.add_argument("--every", type=int, default=1, help="of the builders, take every Nth")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch  # noqa: F401, its import is not counted

    answers = read(list(operands(given.package))[:: given.every], given.package)
    from tests.predict.whole_models import torchvision

    torchvision()
    counts: Counter[str] = Counter()
    for operand, answer in answers.items():
        try:
            saved = built(operand)
        except ImportError as error:
            print(f"not built: {operand}: {error}")
            continue
        verdict = judged(answer.manifest, saved)
        counts[verdict] += 1
        if verdict != "exact":
            parts = "; ".join(map(str, answer.manifest.open[:2]))
            print(f"{verdict}: {operand} ({len(answer.manifest)} keys{f'; {parts}' if parts else ''})")
    seconds = sorted(answer.seconds for answer in answers.values())
    n_built = counts.total()
    share = counts["exact"] / n_built
    print(
        f"{given.package}: {n_built} builders, {counts['exact']} exact ({share:.1%}), {counts['open']} open, "
        f"{counts['wrong']} wrong; no line of it ran; "
        f"median {seconds[len(seconds) // 2]:.2f} s of CPU, most {seconds[-1]:.2f} s"
    )
    met = share >= PACKAGES[given.package].at_least and not counts["wrong"]
    return 1 if given.check and not met else 0


if __name__ == "__main__":
    sys.exit(main())
