"""A plan carried out: a new file with other names and the same bytes."""
