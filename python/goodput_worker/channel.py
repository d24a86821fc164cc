"""Messages between the server and this process, over a socket pair.

A message is two little-endian 32-bit lengths, a JSON text and raw bytes. There is no reader thread: whichever thread
waits for a message reads, and hands over to the others what is theirs. An idle process therefore wakes up once per
message, in the thread that wants it.
"""

from __future__ import annotations

import collections
import json
import os
import socket
import struct
import threading
from typing import Any

_HEAD = struct.Struct("<II")
_loads = json.loads
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Message:
    """A received message. Its bytes are this message's own."""

    __slots__ = ("meta", "payload")

    def __init__(self, meta: dict[str, Any], payload: bytearray):
        self.meta = meta
        self.payload = payload


class Mailbox:
    """Where the answers to one question arrive."""

    __slots__ = ("messages",)

    def __init__(self) -> None:
        self.messages: collections.deque[Message] = collections.deque()


class Channel:
    """The connection to the server; all methods may be called from any thread."""

    def __init__(self, descriptor: int):
        self._socket = socket.socket(fileno=descriptor)
        self._buffer = bytearray(1 << 17)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._send_lock = threading.Lock()
        self._posted: collections.deque[dict[str, Any]] = collections.deque()
        self._turn = threading.Condition()
        self._reading = False
        self._questions = 0
        self._open: dict[int, Mailbox] = {}
        self._work = Mailbox()
        #: Called with every message before it is handed on, and with every one before it is sent.
        self.on_receive = lambda meta: None
        self.on_send = lambda meta: None

    def send(self, meta: dict[str, Any], parts: list[Any] | tuple = ()) -> None:
        """Sends one message; ``parts`` are its bytes."""
        with self._send_lock:
            self._write(meta, parts)
        if self._posted:
            self._send_posted()

    def post(self, meta: dict[str, Any]) -> None:
        """Sends a message, now or as soon as the one that is being sent is out.

        Unlike :meth:`send` it never waits, so that destructors may call it.
        """
        self._posted.append(meta)
        self._send_posted()

    def _send_posted(self) -> None:
        while self._posted and self._send_lock.acquire(blocking=False):
            try:
                while self._posted:
                    self._write(self._posted.popleft(), ())
            finally:
                self._send_lock.release()

    def _write(self, meta: dict[str, Any], parts: list[Any] | tuple) -> None:
        self.on_send(meta)
        text = _encode(meta).encode("utf-8", "replace")
        size = 0
        for part in parts:
            size += len(part)
        head = _HEAD.pack(len(text), size)
        if size < 65536:
            self._socket.sendall(b"".join((head, text, *parts)))
            return
        self._socket.sendall(head + text)
        for part in parts:
            self._socket.sendall(part)

    def ask(self, meta: dict[str, Any], parts: list[Any] | tuple = ()) -> Message:
        """Sends a question and waits for its one answer."""
        question = self.open(meta, parts)
        try:
            return self.receive(question)
        finally:
            self.close(question)

    def open(self, meta: dict[str, Any], parts: list[Any] | tuple = ()) -> int:
        """Sends a question to which any number of answers may come; :meth:`close` it in the end."""
        with self._turn:
            self._questions += 1
            question = self._questions
            self._open[question] = Mailbox()
        meta["q"] = question
        self.send(meta, parts)
        return question

    def receive(self, question: int) -> Message:
        """The next answer to a question."""
        return self._next(self._open[question])

    def close(self, question: int) -> None:
        """No further answer is wanted."""
        with self._turn:
            self._open.pop(question, None)

    def next_work(self) -> Message:
        """The next message that answers no question."""
        return self._next(self._work)

    def _next(self, mailbox: Mailbox) -> Message:
        with self._turn:
            while True:
                if mailbox.messages:
                    return mailbox.messages.popleft()
                if not self._reading:
                    self._reading = True
                    break
                self._turn.wait()
        try:
            while not mailbox.messages:
                self._deliver(self._read())
            return mailbox.messages.popleft()
        finally:
            with self._turn:
                self._reading = False
                self._turn.notify_all()

    def _deliver(self, message: Message) -> None:
        self.on_receive(message.meta)
        with self._turn:
            question = message.meta.get("q")
            mailbox = self._work if question is None else self._open.get(question)
            if mailbox is not None:
                mailbox.messages.append(message)
                self._turn.notify_all()

    def _read(self) -> Message:
        self._fill(_HEAD.size)
        start = self._start
        text_size, size = _HEAD.unpack_from(self._buffer, start)
        start += _HEAD.size
        self._start = start
        self._fill(text_size)
        start = self._start
        meta = _loads(str(self._view[start : start + text_size], "utf-8"))
        self._start = start + text_size
        return Message(meta, self._read_bytes(size))

    def _fill(self, size: int) -> None:
        """Makes sure that the next ``size`` bytes are in the buffer."""
        have = self._end - self._start
        if have >= size:
            return
        if self._start + size > len(self._buffer):
            if size > len(self._buffer):
                grown = bytearray(size * 2)
                grown[:have] = self._view[self._start : self._end]
                self._buffer = grown
                self._view = memoryview(grown)
            else:
                self._view[:have] = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, have
        elif have == 0:
            self._start = self._end = 0
        while self._end - self._start < size:
            self._end += self._receive(self._view[self._end :])

    def _read_bytes(self, size: int) -> bytearray:
        have = min(self._end - self._start, size)
        data = bytearray(self._view[self._start : self._start + have])
        self._start += have
        if have == size:
            return data
        data.extend(bytes(size - have))
        rest = memoryview(data)
        while have < size:
            have += self._receive(rest[have:])
        return data

    def _receive(self, into: memoryview) -> int:
        received = self._socket.recv_into(into)
        if received == 0:
            # The server is gone, and with it everything that this process is for.
            os._exit(0)
        return received
