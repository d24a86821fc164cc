"""``python -m goodput_worker SOCKET INPUTS OUTPUTS``: serves one instance of one model until the server says so.

SOCKET is an inherited file descriptor; INPUTS and OUTPUTS are the files of the shared memory.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import sys


def main() -> None:
    """Runs until the server goes away or ends it."""
    descriptor = int(sys.argv[1])
    _die_with_parent()
    # Ctrl-C in the terminal is for the server, which ends its models in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        _fatal(descriptor, f"{sys.executable} cannot import numpy ({error}): {sys.executable} -m pip install numpy")
        return
    from .channel import Channel
    from .failure import describe
    from .model import Model
    from .regions import OwnRegion, ServerRegion
    from .session import Session, begin

    channel = Channel(descriptor)
    session = begin(Session(channel, ServerRegion(sys.argv[2]), OwnRegion(sys.argv[3])))
    model = Model(session)
    channel.send({"k": "ready"})
    while True:
        message = channel.next_work()
        kind = message.meta["k"]
        if kind == "x":
            model.execute(message)
            continue
        answer: dict = {"k": "done"}
        try:
            if kind == "load":
                answer["v"] = model.load(message.meta)
            elif kind == "init":
                model.initialize(message.meta)
            elif kind == "end":
                model.finalize()
        except (Exception, SystemExit) as error:  # noqa: BLE001 (told to whoever loads the model)
            answer["e"] = describe(error)
        channel.send(answer)
        if kind == "end":
            sys.stdout.flush()
            sys.stderr.flush()
            # Threads that the model left behind must not hold the process.
            os._exit(0)


def _die_with_parent() -> None:
    """Asks Linux to end this process when the server's ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _fatal(descriptor: int, text: str) -> None:
    """Says why nothing works, without the modules that need NumPy."""
    meta = json.dumps({"k": "fatal", "e": text}).encode()
    os.write(descriptor, struct.pack("<II", len(meta), 0) + meta)


main()
