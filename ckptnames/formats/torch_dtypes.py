"""torch's dtypes and storage classes: how each is spelled here, and the bytes of one element.

Spelled as safetensors does where it has the dtype. For the others the name that torch prints, in capitals: ``C128`` and
``C32`` for the complex ones as for ``C64``, ``QINT8``, ``QUINT4X2``, ``BITS8``, and ``U1`` to ``U7``, ``I1`` to ``I7``.
"""

from __future__ import annotations

DTYPES: dict[str, tuple[str, int]] = {
    "float32": ("F32", 4),
    "float64": ("F64", 8),
    "float16": ("F16", 2),
    "bfloat16": ("BF16", 2),
    "bool": ("BOOL", 1),
    "complex32": ("C32", 4),
    "complex64": ("C64", 8),
    "complex128": ("C128", 16),
    "float8_e4m3fn": ("F8_E4M3", 1),
    "float8_e5m2": ("F8_E5M2", 1),
    "float8_e4m3fnuz": ("F8_E4M3FNUZ", 1),
    "float8_e5m2fnuz": ("F8_E5M2FNUZ", 1),
    "float8_e8m0fnu": ("F8_E8M0", 1),
    "float4_e2m1fn_x2": ("F4", 1),
    **{f"int{bits}": (f"I{bits}", bits // 8) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (f"U{bits}", bits // 8) for bits in (8, 16, 32, 64)},
    **{f"int{bits}": (f"I{bits}", 1) for bits in range(1, 8)},
    **{f"uint{bits}": (f"U{bits}", 1) for bits in range(1, 8)},
    **{name: (name.upper(), 1) for name in ("qint8", "quint8", "quint4x2", "quint2x4")},
    **{name: (name.upper(), 1) for name in ("bits8", "bits1x8", "bits2x4", "bits4x2")},
    "qint32": ("QINT32", 4),
    "bits16": ("BITS16", 2),
}
"""By the name of ``torch.<dtype>``. A packed dtype has one element for each byte, as ``torch.Tensor.shape`` counts."""

STORAGES: dict[str, tuple[str, int]] = {
    f"{name}Storage": DTYPES[dtype]
    for name, dtype in {
        "Float": "float32",
        "Double": "float64",
        "Half": "float16",
        "BFloat16": "bfloat16",
        "Long": "int64",
        "Int": "int32",
        "Short": "int16",
        "Char": "int8",
        "Byte": "uint8",
        "Bool": "bool",
        "ComplexFloat": "complex64",
        "ComplexDouble": "complex128",
        "QInt8": "qint8",
        "QUInt8": "quint8",
        "QInt32": "qint32",
        "QUInt4x2": "quint4x2",
        "QUInt2x4": "quint2x4",
        "Untyped": "uint8",
        "_Untyped": "uint8",
    }.items()
}
"""By the name of the class, in ``torch`` or ``torch.cuda``. An untyped storage counts bytes."""

PACKED = {"QUINT4X2": 2, "QUINT2X4": 4}
"""Dtypes of which a byte of the storage holds several elements of the shape."""
