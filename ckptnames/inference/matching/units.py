"""A manifest as a tree of modules: the leaf modules with the roles and shapes of their parameters, and what holds them.

A *unit* is a leaf module (``fc``: weight and bias), or a parameter that stands alone in a module with others in it.
A bias, or the statistics of a BatchNorm, follow their weight for free.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from ckptnames.manifest import TensorInfo

Path = tuple[str, ...]
Shape = tuple[int, ...] | None
Shapes = tuple[tuple[str, Shape], ...]
Kind = tuple[tuple[str, int], ...]
Structure = frozenset[tuple[str, Kind]]

COUNTER = "counter"
"""The role of ``num_batches_tracked``, which came late and goes with its module whether or not it is there."""

_ROLES = {
    **dict.fromkeys(("weight", "w", "g", "kernel", "gamma", "scale", "embedding", "embeddings", "W"), "weight"),
    **dict.fromkeys(("bias", "b", "beta"), "bias"),
    **dict.fromkeys(("running_mean", "moving_mean"), "mean"),
    **dict.fromkeys(("running_var", "moving_variance"), "variance"),
    "num_batches_tracked": COUNTER,
    "weight_g": "magnitude",
    "weight_v": "direction",
    **dict.fromkeys(("weight_orig", "weight_bar"), "original"),
    "weight_u": "left vector",
    "weight_mask": "mask",
    **dict.fromkeys(("weight_scale", "weight_scale_inv"), "scale"),
}
"""The last segments that name a parameter of a leaf module, whatever the library calls it."""

_PARAMETRIZATIONS = "parametrizations"
_PARAMETRIZED = {
    ("weight", "original0"): "magnitude",
    ("weight", "original1"): "direction",
    ("weight", "original"): "original",
    ("weight", "0", "_u"): "left vector",
    ("weight", "0", "_v"): "right vector",
}
"""What stands behind ``parametrizations``: weight_norm and spectral_norm of ``torch.nn.utils.parametrizations``."""

_LOW_RANK: dict[Path, str] = {
    **dict.fromkeys((("lora_A", "weight"), ("lora_down", "weight")), "low rank a"),
    **dict.fromkeys((("lora_B", "weight"), ("lora_up", "weight")), "low rank b"),
    **dict.fromkeys((("lora", "down", "weight"), ("lora_linear_layer", "down", "weight")), "low rank a"),
    **dict.fromkeys((("lora", "up", "weight"), ("lora_linear_layer", "up", "weight")), "low rank b"),
}
"""The two matrices of a LoRA, as PEFT, kohya and diffusers call them; PEFT puts the adapter's name between."""

_OLD_LOW_RANK = {"down": "low rank a", "up": "low rank b"}
"""Below a module whose name ends in `_lora`: so did diffusers' attention processors."""

_SUFFIXED = re.compile(r"(.+)_(weight|bias)")  # in_proj_weight
_PREFIXED = re.compile(r"([Wb])_(.+)")  # W_Q and b_Q
_NUMBER = re.compile(r"[0-9]+")
_SEPARATOR = re.compile(r"[./]")
_FLATTENED = re.compile(r"(?<=_)[0-9]+(?=_)")
_AROUND_NUMBER = re.compile(r"_(?=[0-9]+_)|(?<=[0-9])_")
_LEAST_FLATTENED = 2
_BAG = (1 << 61) - 1


class Unit:
    """A leaf module: its path, the key of each of its parameters by role, and their shapes."""

    __slots__ = ("keys", "kind", "node", "path", "shapes")

    def __init__(self, path: Path, keys: dict[str, str], tensors: Mapping[str, TensorInfo]) -> None:
        self.path = path
        self.keys = keys
        self.shapes: Shapes = tuple(
            sorted([(role, tensors[key].shape) for role, key in keys.items() if role != COUNTER])
        )
        self.kind: Kind = tuple([(role, -1 if shape is None else len(shape)) for role, shape in self.shapes])
        """The roles with their number of dimensions; -1 where it is not known."""
        self.node: Node

    def shape(self, role: str) -> Shape:
        """Give the shape of the parameter in a role; ``None`` where there is none, or it is not known."""
        return next((shape for known, shape in self.shapes if known == role), None)

    def __repr__(self) -> str:
        return f"Unit({'.'.join(self.path)})"


class Node:
    """A module of the tree. ``template`` is its path with ``#`` for each number; ``slots`` are the numbers.

    Three numbers tell what it holds; they are equal for two modules that hold the same

    * ``bag``: shapes in the same roles, however they are named and nested;
    * ``build``: names and kinds of parameters, whatever their numbers and sizes;
    * ``contents``: names and shapes.
    """

    __slots__ = (
        *("bag", "build", "children", "contents", "left", "parent", "path", "slots", "template", "unit", "units"),
        "_structure",
    )

    def __init__(self, path: Path, parent: Node | None) -> None:
        self.path = path
        self.parent = parent
        self.template: Path = ()
        self.slots: tuple[int, ...] = ()
        if parent is not None:
            segment = path[-1]
            numbers = _NUMBER.findall(segment)
            self.template = (*parent.template, _NUMBER.sub("#", segment) if numbers else segment)
            self.slots = (*parent.slots, *map(int, numbers)) if numbers else parent.slots
        self.children: list[Node] = []
        self.unit: Unit | None = None
        self.units: list[Unit] = []
        """All units at or below this module."""
        self.left = 0
        """How many of them are not matched yet."""
        self.bag = self.build = self.contents = 0
        self._structure: Structure | None = None

    @property
    def depth(self) -> int:
        """The number of segments of its path."""
        return len(self.path)

    @property
    def is_fresh(self) -> bool:
        """True while no unit of it is matched."""
        return self.left == len(self.units) > 0

    @property
    def structure(self) -> Structure:
        """The templates and kinds of the units in it."""
        if self._structure is None:
            depth = self.depth
            self._structure = frozenset([(".".join(unit.node.template[depth:]), unit.kind) for unit in self.units])
        return self._structure

    def gather(self) -> None:
        """Take in what the children hold, once they have done so themselves."""
        if self.unit is not None:
            self.units.append(self.unit)
            self.bag = hash(self.unit.shapes)
        for child in self.children:
            self.units.extend(child.units)
            self.bag += child.bag
        self.bag &= _BAG
        own = self.unit
        self.build = hash((own and own.kind, frozenset([(child.template[-1], child.build) for child in self.children])))
        self.contents = hash(
            (own and own.shapes, frozenset([(child.path[-1], child.contents) for child in self.children]))
        )
        self.left = len(self.units)

    def below(self, unit: Unit) -> str:
        """Name a unit by its path below this module."""
        return ".".join(unit.path[self.depth :])

    def __repr__(self) -> str:
        return f"Node({'.'.join(self.path)})"


def tree_of(tensors: Mapping[str, TensorInfo], spelling: Mapping[str, str] | None = None) -> Node:
    """Build the tree of a manifest's modules, and give its root; ``spelling`` has other words for some segments.

    >>> root = tree_of({"fc.weight": TensorInfo("F32", (3, 2)), "fc.bias": TensorInfo("F32", (3,))})
    >>> root.units, root.units[0].keys
    ([Unit(fc)], {'weight': 'fc.weight', 'bias': 'fc.bias'})
    """
    nodes: dict[Path, Node] = {}
    root = _node((), nodes)
    for unit in _units(tensors):
        if spelling:
            unit.path = tuple(spelling.get(segment, segment) for segment in unit.path)
        unit.node = _node(unit.path, nodes)
        unit.node.unit = unit
    order = [root]
    for node in order:
        order.extend(node.children)
    for node in reversed(order):
        node.gather()
    return root


def _node(path: Path, nodes: dict[Path, Node]) -> Node:
    found = nodes.get(path)
    if found is None:
        parent = _node(path[:-1], nodes) if path else None
        found = nodes[path] = Node(path, parent)
        if parent is not None:
            parent.children.append(found)
    return found


def _units(tensors: Mapping[str, TensorInfo]) -> Iterator[Unit]:
    least = 1 if _are_flat(tensors) else _LEAST_FLATTENED
    paths = {key: _segments(key, least) for key in tensors}
    # What hangs below a tensor is an optimizer's: TensorFlow keeps its slots there.
    owners = _holders(paths.values(), 1).intersection(paths.values())
    if owners:
        paths = {key: path for key, path in paths.items() if not any(path[:n] in owners for n in range(1, len(path)))}
    holders = _holders((path for path in paths.values() if _PARAMETRIZATIONS not in path), 2)
    modules: dict[Path, dict[str, list[str]]] = {}
    for key, path in paths.items():
        module, role = _place(path)
        if module in holders and len(module) == len(path) - 1 and path[-1] in _ROLES:
            module, role = path, role if role == "bias" else "weight"
        modules.setdefault(module, {}).setdefault(role, []).append(key)
    for module, roles in modules.items():
        _tell_scale(roles)
        if any(len(keys) > 1 for keys in roles.values()):
            yield from (Unit(paths[key], {"weight": key}, tensors) for keys in roles.values() for key in keys)
        else:
            yield Unit(module, _told_apart({role: keys[0] for role, keys in roles.items()}), tensors)


def _tell_scale(roles: dict[str, list[str]]) -> None:
    """Beside a weight a `scale` is not the weight of a norm, but what a quantized weight is multiplied with."""
    weights = roles.get("weight", [])
    scales = [key for key in weights if leaf_of(key) == "scale"]
    if len(weights) > 1 == len(scales):
        roles["weight"] = [key for key in weights if key not in scales]
        roles.setdefault("scale", []).extend(scales)


def _holders(paths: Iterable[Path], levels: int) -> set[Path]:
    """Give what has a path at least so many levels below it."""
    found = {path[:-levels] for path in paths if len(path) >= levels}
    for path in list(found):
        while path and path[:-1] not in found:
            path = path[:-1]
            found.add(path)
    return found


def _are_flat(keys: Collection[str]) -> bool:
    """Tell whether most names have the dots of their lists written as underscores."""
    return sum(_FLATTENED.search(key.partition(".")[0]) is not None for key in keys) > len(keys) / 2


def _segments(key: str, least: int) -> Path:
    """Cut a key into segments, also where dots were written as underscores around numbers: ``blocks_0_attn_1_q``."""
    segments = key.replace("/", ".").split(".")
    if "_" in key and len(_FLATTENED.findall(key)) >= least:
        return tuple(part for segment in segments for part in _cut(segment, least))
    return tuple(segments)


def _cut(segment: str, least: int) -> list[str]:
    return _AROUND_NUMBER.split(segment) if len(_FLATTENED.findall(segment)) >= least else [segment]


def _place(path: Path) -> tuple[Path, str]:
    """Give the module that a key belongs to, and the role it has in it; a parameter alone is a module of its own."""
    if path[-1] == "weight":
        for n_segments in (2, 3):
            role = _LOW_RANK.get(path[-n_segments:]) or _LOW_RANK.get((*path[-n_segments:-2], path[-1]))
            if role:
                return path[:-n_segments], role
        if len(path) > 2 and path[-2] in _OLD_LOW_RANK and path[-3].endswith("_lora"):
            return (*path[:-3], path[-3].removesuffix("_lora")), _OLD_LOW_RANK[path[-2]]
    if _PARAMETRIZATIONS in path:
        at = len(path) - 1 - path[::-1].index(_PARAMETRIZATIONS)
        role = _PARAMETRIZED.get(path[at + 1 :])
        if role:
            return path[:at], role
    last = path[-1]
    if last in _ROLES and len(path) > 1:
        return path[:-1], _ROLES[last]
    prefixed, suffixed = _PREFIXED.fullmatch(last), _SUFFIXED.fullmatch(last)
    if prefixed:
        return (*path[:-1], prefixed[2]), "weight" if prefixed[1] == "W" else "bias"
    if suffixed:
        return (*path[:-1], suffixed[1]), suffixed[2]
    return path, "weight"


def _told_apart(keys: dict[str, str]) -> dict[str, str]:
    # Both weight_norm and spectral_norm have a weight_v.
    if "original" in keys and "direction" in keys:
        keys["right vector"] = keys.pop("direction")
    return keys


def leaf_of(key: str) -> str:
    """Give the last segment of a key."""
    return _SEPARATOR.split(key)[-1]


def numbers_in(path: str) -> tuple[int, ...]:
    """Give the numbers in a name.

    >>> numbers_in("layer1.0.conv2")
    (1, 0, 2)
    """
    return tuple(map(int, _NUMBER.findall(path)))


def template_of(path: str) -> str:
    """Write a name with ``#`` for each number.

    >>> template_of("layer1.0.conv2")
    'layer#.#.conv#'
    """
    return _NUMBER.sub("#", path)


def all_known(units: Iterable[Unit]) -> bool:
    """Tell whether every shape is known."""
    return all(shape is not None for unit in units for _, shape in unit.shapes)
