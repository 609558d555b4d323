"""Swin's patch merging: in which order four patches are joined into one."""

from __future__ import annotations

import re

from ckptnames.inference.cautions.caution import Caution, Renaming
from ckptnames.inference.matching.units import leaf_of

_UNFOLD = re.compile(r"\bw_msa\b|ffn\.layers\.0\.0")
"""Names of the Swin of OpenMMLab, which merges patches with ``nn.Unfold`` and so in another order."""


def patch_order(renaming: Renaming) -> Caution | None:
    """OpenMMLab merges with ``nn.Unfold``, channel by channel, the others patch by patch."""
    if any(map(_UNFOLD.search, renaming.source)) == any(map(_UNFOLD.search, renaming.target)):
        return None
    targets = tuple(
        name
        for name in renaming.mapping
        if "downsample" in name and leaf_of(name.rpartition(".")[0]) in ("reduction", "norm")
    )
    message = "patch merging of Swin: one side merges with nn.Unfold, so that the four patches stand in another order"
    return Caution("patch-order", targets, message) if targets else None
