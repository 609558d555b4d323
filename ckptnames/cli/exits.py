"""The exit codes: a contract with scripts."""

from __future__ import annotations

SAME = DONE = 0
"""Nothing differs, or what was asked for is done, or there is nothing to do."""
DIFFERENT = INCOMPLETE = 1
"""It ran, and found differences or problems, or the answer is incomplete or ambiguous."""
FAILED = 2
"""It could not run: a bad file, bad usage, an output that cannot be written."""
INTERRUPTED = 130
"""Ctrl-C, as a shell says it."""
BROKEN_PIPE = 141
"""Whoever read the output has stopped, as a shell says it."""
