"""The names that a model will have, told from its source: nothing of it is imported, and no line of it is run."""
