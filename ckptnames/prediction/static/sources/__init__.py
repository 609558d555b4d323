"""Where source is read from: files, installed packages, and revisions of a git repository. Nothing is imported."""
