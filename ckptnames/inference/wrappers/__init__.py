"""What wrappers and prefixes explain, and what no renaming mends."""
