"""A network between a client and its server that can be cut: a TCP port of this host, forwarded by a thread."""

import os
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

_BYTES = 1 << 16


class Proxy:
    """Forwards what connects to `port` to a server.

    While it is held no byte comes through in either direction and no connection is closed, as with a cable pulled out:
    what was sent meanwhile arrives when it goes on, as TCP would send it again.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        """`connect` makes a connection to the server."""
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._peers: dict[socket.socket, socket.socket] = {}
        self._orders, self._order = os.pipe()
        self._thread = Thread(target=self._forward, daemon=True)
        self._thread.start()

    def hold(self) -> None:
        """Let nothing through any more."""
        os.write(self._order, b"h")

    def go_on(self) -> None:
        """Let everything through, also what was held."""
        os.write(self._order, b"g")

    def close_all(self) -> None:
        """Close all connections on both sides, with what was held in them; new ones go through."""
        os.write(self._order, b"c")

    def end(self) -> None:
        """Close all connections and the port."""
        os.write(self._order, b"e")
        self._thread.join()
        os.close(self._orders)
        os.close(self._order)

    def _forward(self) -> None:
        held = False
        while True:
            readable = self._readable(held)
            if self._orders in readable:
                order = os.read(self._orders, 1)
                held = order == b"h"
                for end in list(self._peers) if order in {b"c", b"e"} else ():
                    self._drop(end)
                if order == b"e":
                    self._listener.close()
                    return
                continue  # what is readable may have been closed
            for end in readable:
                self._accept() if end is self._listener else self._pass_on(end)

    def _readable(self, held: bool) -> list[object]:
        """Waits for an order and, unless held, for connections and bytes."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._orders, selectors.EVENT_READ)
            for end in () if held else (self._listener, *self._peers):
                selector.register(end, selectors.EVENT_READ)
            return [key.fileobj for key, _ in selector.select()]

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = self._connect()
        except OSError:  # it is down: as its host would, refuse
            client.close()
            return
        self._peers |= {client: server, server: client}

    def _pass_on(self, end: object) -> None:
        if not isinstance(end, socket.socket) or end not in self._peers:  # its peer was dropped a moment ago
            return
        try:
            if found := end.recv(_BYTES):
                self._peers[end].sendall(found)
                return
        except OSError:
            pass
        self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        if end in self._peers:
            for each in (self._peers.pop(end), end):
                self._peers.pop(each, None)
                with suppress(OSError):
                    each.close()


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """A network to a server of `tests.postgres`, whose database has this URL; yields it and the URL through it."""
    before, _, folder = url.partition("?host=")
    proxy = Proxy(lambda: _unix(Path(folder) / ".s.PGSQL.5432"))
    try:
        yield proxy, before.replace("@/", f"@127.0.0.1:{proxy.port}/")
    finally:
        proxy.end()


def _unix(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(str(path))
    except OSError:
        server.close()
        raise
    return server
