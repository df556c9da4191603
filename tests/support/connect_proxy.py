"""A proxy on loopback that opens connections by CONNECT. Every host leads to one port of this machine, so that real names can be used."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ConnectProxy(ThreadingTCPServer):
    """Notes the hosts that were asked for."""

    daemon_threads = True

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.target = target
        self.asked: list[str] = []
        """Host and port of each CONNECT."""

    @property
    def url(self) -> str:
        """The address, as it stands in HTTPS_PROXY."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Tunnel(StreamRequestHandler):
    server: ConnectProxy

    def handle(self) -> None:
        """Answer one CONNECT, and carry bytes both ways until both ends are closed."""
        method, host, _ = self.rfile.readline().decode().split(" ")
        while self.rfile.readline().strip():
            pass
        assert method == "CONNECT", method
        self.server.asked.append(host)
        with socket.create_connection(("127.0.0.1", self.server.target)) as target:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_carry, args=(target, self.connection), daemon=True)
            back.start()
            _carry(self.connection, target)
            back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # one end has gone
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def running_proxy(target: int) -> Iterator[ConnectProxy]:
    """Run a proxy whose hosts all lead to the port `target`."""
    with ConnectProxy(target) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()
