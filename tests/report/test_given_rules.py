"""What a comparison under given rules shows."""

from __future__ import annotations

import ckptnames
from ckptnames.manifest import Manifest, TensorInfo

WEIGHT = TensorInfo("F32", (4, 4), 64)


def test_what_rules_leave_open_is_missing_and_unexpected() -> None:
    source = Manifest(dict.fromkeys(["net.a.weight", "net.b.weight", "fc.weight"], WEIGHT))
    target = Manifest(dict.fromkeys(["a.weight", "b.weight", "fc.weight"], WEIGHT))
    found = ckptnames.diff(source, target, rules="net.b.** -> !open\nfc.** -> !open\nnet.** -> **")
    after = found.after_rules
    assert after is not None
    assert (after.matched, after.missing) == (1, ("b.weight", "fc.weight"))
    assert after.unexpected == ("net.b.weight", "fc.weight")
    shown = str(found)
    assert "missing: in the target only: 2 keys\n  {b,fc}.weight  4×4 F32  ×2" in shown
    assert "unexpected: in the source only: 2 keys\n  net.b.weight  4×4 F32\n  fc.weight     4×4 F32" in shown
