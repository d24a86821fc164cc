"""Shared memory between the server and this process: two files, one for each direction.

The server writes inputs into its file and this process maps it; outputs go the other way. Whoever reads tells the
writer which pieces it is done with, in the next message.
"""

from __future__ import annotations

import bisect
import collections
import mmap
import os
import threading
import weakref

import numpy as np

#: Pieces start at multiples of this, so that arrays of every type are aligned.
ALIGNMENT = 64


class ServerRegion:
    """The file that the server writes. Arrays over it are views; their memory is given back when the last is gone."""

    def __init__(self, path: str):
        self._file = os.open(path, os.O_RDWR)
        self._map: mmap.mmap | None = None
        self._views: dict[int, weakref.ref] = {}
        # The garbage collector calls back at any moment, inside a lock's scope too: so there is no lock here.
        self._freed: collections.deque[int] = collections.deque()

    def array(self, dtype: np.dtype, offset: int, length: int) -> np.ndarray:
        """A writable one-dimensional view of ``length`` bytes."""
        if self._map is None or len(self._map) < offset + length:
            # Arrays over the old mapping keep it.
            self._map = mmap.mmap(self._file, os.fstat(self._file).st_size)
        view = np.frombuffer(self._map, dtype, length // dtype.itemsize, offset)

        def gone(_: weakref.ref) -> None:
            self._views.pop(offset, None)
            self._freed.append(offset)

        self._views[offset] = weakref.ref(view, gone)
        return view

    def take_freed(self) -> list[int]:
        """Offsets that nobody uses any more since the last call."""
        freed = []
        while self._freed:
            freed.append(self._freed.popleft())
        return freed


class OwnRegion:
    """The file that this process writes."""

    def __init__(self, path: str):
        self._file = os.open(path, os.O_RDWR)
        self._size = 0
        self._map: mmap.mmap | None = None
        self._free: list[tuple[int, int]] = []
        self._used: dict[int, int] = {}
        self._lock = threading.Lock()

    def write(self, data: memoryview) -> int | None:
        """Copies bytes into the file and returns where they are; ``None`` when the memory is not to be had."""
        size = -(-data.nbytes // ALIGNMENT) * ALIGNMENT
        with self._lock:
            offset = self._take(size)
            if offset is None:
                if not self._grow(size):
                    return None
                offset = self._take(size)
            if offset is None or self._map is None:
                return None
            self._used[offset] = size
            self._map[offset : offset + data.nbytes] = data
        return offset

    def free(self, offsets: list[int]) -> None:
        """The server has read these pieces."""
        with self._lock:
            for offset in offsets:
                self._release(offset, self._used.pop(offset))

    def _take(self, size: int) -> int | None:
        for index, (offset, length) in enumerate(self._free):
            if length < size:
                continue
            if length == size:
                del self._free[index]
            else:
                self._free[index] = (offset + size, length - size)
            return offset
        return None

    def _release(self, offset: int, size: int) -> None:
        index = bisect.bisect(self._free, (offset, 0))
        if index < len(self._free) and self._free[index][0] == offset + size:
            size += self._free.pop(index)[1]
        if index > 0 and sum(self._free[index - 1]) == offset:
            offset, before = self._free.pop(index - 1)
            size += before
            index -= 1
        self._free.insert(index, (offset, size))

    def _grow(self, size: int) -> bool:
        added = max(size, self._size, 1 << 20)
        try:
            # Without this, writing to memory that is not there would end the process.
            os.posix_fallocate(self._file, self._size, added)
        except OSError:
            return False
        self._map = mmap.mmap(self._file, self._size + added)
        self._release(self._size, added)
        self._size += added
        return True
