"""Rules of other libraries: their tables read into rules, looked over, and rules written as theirs."""

from __future__ import annotations

from ckptnames.interop.export import key_mapping
from ckptnames.interop.libraries import mmengine_table, torchtune_table, transformers_table, vllm_table
from ckptnames.interop.lint import Finding, lint
from ckptnames.interop.table import Table

__all__ = [
    "Finding",
    "Table",
    "key_mapping",
    "lint",
    "mmengine_table",
    "torchtune_table",
    "transformers_table",
    "vllm_table",
]
