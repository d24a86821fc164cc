"""What the modules of this process share: the connection, the memory, and what the model is doing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .channel import Channel
from .errors import TritonModelException
from .regions import OwnRegion, ServerRegion

if TYPE_CHECKING:
    import asyncio


@dataclass
class Session:
    """One connection to the server."""

    channel: Channel
    inputs: ServerRegion
    outputs: OwnRegion
    model_name: str = ""
    #: The folder of the model's version.
    model_folder: str = ""
    #: The model's file, or folder, for the frameworks.
    model_file: str = ""
    decoupled: bool = False
    #: All outputs, in the order of the configuration.
    output_names: list[str] = field(default_factory=list)
    #: ``execute`` may be running: requests to other models can be answered.
    executing: bool = False
    #: The loop on which ``async def execute`` of decoupled models runs.
    loop: asyncio.AbstractEventLoop | None = field(default=None)


_session: Session | None = None


def current() -> Session:
    """The session.

    :raises TritonModelException: outside the server, where the model interface cannot do anything
    """
    if _session is None:
        raise TritonModelException("this call works only in a model that the server runs")
    return _session


def begin(session: Session) -> Session:
    """Makes it the session of this process."""
    global _session
    _session = session
    channel = session.channel

    def received(meta: dict) -> None:
        read = meta.get("f")
        if read:
            session.outputs.free(read)

    def sending(meta: dict) -> None:
        freed = session.inputs.take_freed()
        if freed:
            meta["f"] = freed

    channel.on_receive = received
    channel.on_send = sending
    return session
