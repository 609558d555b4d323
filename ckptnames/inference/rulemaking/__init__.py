"""From a mapping of keys to few rules that say it."""
