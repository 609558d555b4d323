"""The interpreter: it follows the syntax tree of a program, with values that may be unknown."""
