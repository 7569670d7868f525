"""A gate in front of a server: passes connections on, or does to them what networks do."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from enum import Enum, auto

from hub.adapter_kit.workshop import HOST

_PIECE = 64 * 1024
#: Bytes towards the server after which a connection is cut or stalled: past every greeting, inside a large content.
_INSIDE = 600_000
_PAUSE = 0.05


class Mode(Enum):
    """What the gate does to the next connections."""

    PASS = auto()
    #: Accepts and never says a word.
    MUTE = auto()
    #: Says one byte now and then.
    DRIP = auto()
    #: Speaks another protocol.
    NOISE = auto()
    #: Speaks without end.
    FLOOD = auto()
    #: Resets inside a large content.
    CUT = auto()
    #: Stops listening inside a large content.
    STALL = auto()


class Gate:
    """Listens on loopback from construction until ``close``; ``target`` is the server's port."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.mode = Mode.PASS
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((HOST, 0))
        # Small, so that a caller who is not listened to notices inside a large content.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody and stop listening; whoever connects afterwards is refused."""
        with self._lock:
            self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for each in self._open:
            _shut(each)
            each.close()

    def _accept(self) -> None:
        while not self._released.is_set():
            try:
                caller, _address = self._listener.accept()
                self._hold(caller)
            except OSError:
                return
            threading.Thread(target=self._serve, args=[caller, self.mode], daemon=True).start()

    def _hold(self, connection: socket.socket) -> None:
        """Keep a connection for :meth:`close`; where that has been, close it and raise ``OSError``."""
        with self._lock:
            if not self._released.is_set():
                self._open.append(connection)
                return
        connection.close()
        raise ConnectionAbortedError

    def _serve(self, caller: socket.socket, mode: Mode) -> None:
        with contextlib.suppress(OSError):
            if mode in {Mode.PASS, Mode.CUT, Mode.STALL}:
                self._pass(caller, mode)
            else:
                self._misbehave(caller, mode)
        _shut(caller)

    def _pass(self, caller: socket.socket, mode: Mode) -> None:
        server = socket.create_connection((HOST, self.target))
        for each in (caller, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._hold(server)
        threading.Thread(target=self._back, args=[server, caller], daemon=True).start()
        passed = 0
        try:
            while piece := caller.recv(_PIECE):
                passed += len(piece)
                if mode is Mode.CUT and passed > _INSIDE:
                    reset(caller)
                    return
                if mode is Mode.STALL and passed > _INSIDE:
                    self._released.wait()
                    return
                server.sendall(piece)
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_WR)

    def _back(self, server: socket.socket, caller: socket.socket) -> None:
        try:
            while piece := server.recv(_PIECE):
                caller.sendall(piece)
        except ConnectionResetError:
            reset(caller)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            caller.shutdown(socket.SHUT_WR)

    def _misbehave(self, caller: socket.socket, mode: Mode) -> None:
        match mode:
            case Mode.MUTE:
                self._released.wait()
            case Mode.NOISE:
                caller.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                caller.shutdown(socket.SHUT_WR)
                caller.recv(_PIECE)
            case Mode.DRIP:
                while not self._released.wait(_PAUSE):
                    caller.sendall(b"2")
            case Mode.FLOOD:
                while not self._released.is_set():
                    caller.sendall(b"220-welcome, and wait\r\n" * 1000)


def reset(connection: socket.socket) -> None:
    """End a connection without a word."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Whoever still reads holds the connection open: this wakes them and says nothing to the other side.
        connection.shutdown(socket.SHUT_RD)
    connection.close()


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
