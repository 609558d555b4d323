"""Tables of other libraries, read into rules, and rules written as theirs."""

from __future__ import annotations

from ckptnames import errors
from ckptnames.interop import key_mapping, mmengine_table, torchtune_table, vllm_table
from tests.errors.raising import raises


@raises(errors.CannotTranslate)
def text_anywhere_in_a_key() -> None:
    """
    error[cannot-translate]: an entry of the table matches text anywhere in a key
      --> old.py
      'bn' -> 'norm'
      help: give the keys that the rules are for: table.rules(keys)
    """
    mmengine_table([("bn", "norm")], "old.py").rules()


@raises(errors.CannotTranslate)
def an_entry_that_fuses_tensors() -> None:
    """
    error[cannot-translate]: an entry of the table puts a tensor into part 'q' of a larger one: 'attn.q_proj.weight'
      --> vLLM
      '.q_proj' -> '.qkv_proj' (substr)
      help: take the entry out, and do what it does in your own code after the rename
    """
    vllm_table({"orig_to_new_stacked": {".q_proj": (".qkv_proj", "q")}}).rules(["attn.q_proj.weight"])


@raises(errors.CannotTranslate)
def a_number_that_is_lost() -> None:
    """
    error[cannot-translate]: an entry of the table has not the same numbers on both sides, so that two keys would have one name
      --> torchtune
      'layers.{}.experts.{}.w' -> 'layers.{}.w'
      help: leave it out with table.renames(), or take it out of the table
    """
    torchtune_table({"layers.{}.experts.{}.w": "layers.{}.w"}).rules()


@raises(errors.CannotTranslate)
def keys_that_become_one() -> None:
    """
    error[cannot-translate]: an entry of the table makes 'x.w' of several keys: 'a.w' and 'b.w'
      --> mmengine
      '^b' -> 'x'
      help: take the entry out, and do what it does in your own code after the rename
    """
    mmengine_table([("^a", "x"), ("^b", "x")]).rules(["a.w", "b.w"])


@raises(errors.CannotExport)
def a_swap() -> None:
    """
    error[cannot-export]: a key_mapping would make 'q.w' of 'q.w', and not 'k.w'
      --> <rules>:1
      help: rename the file first, as in: ckptnames.fix(source, out, rules=rules)
    """
    key_mapping("q.** -> k.**\nk.** -> q.**", ["q.w", "k.w"])


@raises(errors.CannotExport)
def a_key_that_is_left_out() -> None:
    """
    error[cannot-export]: 'rope.freqs' is left out, and a key_mapping can only rename
      --> <rules>:1
      help: rename the file first, as in: ckptnames.fix(source, out, rules=rules)
    """
    key_mapping("rope.freqs -> !drop", ["rope.freqs", "w"])
