"""Connections refused while a model is built: names need no download."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_HERE = frozenset({"", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})
_SWITCH = "HF_HUB_OFFLINE"
"""Without it the Hugging Face library waits and tries again, for a minute, before it looks at what it has kept."""


class Refused(ConnectionError):
    """What code sees that tries to connect, as if there were no network."""


@contextmanager
def offline() -> Iterator[list[str]]:
    """Refuse connections to other machines while the block runs, and give the hosts that were asked for.

    >>> with offline() as hosts:
    ...     try:
    ...         socket.create_connection(("example.org", 443))
    ...     except OSError:
    ...         print(hosts)
    ['example.org']

    Threads that ran before go on as they were.
    """
    hosts: list[str] = []
    others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def refuse(host: Any) -> None:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
        if name not in _HERE and threading.get_ident() not in others:
            hosts.append(name)
            raise Refused(f"no connection to {name} is made while a model is built for its names")

    def refusing_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        refuse(host)
        return look_up(host, *args, **kwargs)

    def refusing_connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address:
            refuse(address[0])
        connect(self, address)

    socket.getaddrinfo = refusing_look_up
    socket.socket.connect = refusing_connect  # type: ignore[method-assign, assignment]
    try:
        with _switched_off():
            yield hosts
    finally:
        socket.getaddrinfo = look_up
        socket.socket.connect = connect  # type: ignore[method-assign]


@contextmanager
def _switched_off() -> Iterator[None]:
    """Tell the Hugging Face library, loaded already or not, to take what it has kept and to ask nobody."""
    before = os.environ.get(_SWITCH)
    loaded = sys.modules.get("huggingface_hub.constants")
    was = getattr(loaded, _SWITCH, None)
    os.environ[_SWITCH] = "1"
    if loaded is not None:
        setattr(loaded, _SWITCH, True)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before
        now = sys.modules.get("huggingface_hub.constants")
        if now is not None:
            setattr(now, _SWITCH, (before or "").upper() in ("1", "ON", "YES", "TRUE") if loaded is None else was)
