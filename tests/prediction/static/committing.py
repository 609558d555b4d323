"""Git repositories that tests make."""

from __future__ import annotations

import subprocess


def git(*args: str) -> None:
    """Run git in the current folder, as somebody."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *args], check=True, capture_output=True)
