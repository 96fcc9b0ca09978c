"""The lab's socket: takes the command's orders, one to a connection."""

import logging
import os
from collections.abc import Callable

import trio

from mesh.errors import MeshError
from sluice.lab import orders, questions
from sluice.lab.errors import LabRefusedError, sentences
from sluice.lab.lab import Lab
from sluice.lab.protocol import (
    DONE,
    FAILED,
    MAX_LINE_OCTETS,
    Reply,
    Request,
    parse_request,
    reply_line,
)

log = logging.getLogger(__name__)


async def serve(lab: Lab, listener: trio.socket.SocketType) -> None:
    """Take orders for ever.

    Args:
        lab: what they are about.
        listener: a stream socket of `mesh.runtime.unix_sockets`.

    Cancellation: orders that are under way end where they are.
    """

    async def serve_one(stream: trio.SocketStream) -> None:
        await _serve_one(lab, stream)

    await trio.serve_listeners(serve_one, [trio.SocketListener(listener)])


async def _serve_one(lab: Lab, stream: trio.SocketStream) -> None:
    try:
        async with stream:
            await _answer(lab, stream)
    except trio.BrokenResourceError:
        log.info("a command went away before its answer")


async def _answer(lab: Lab, stream: trio.SocketStream) -> None:
    line = bytearray()
    while not line.endswith(b"\n"):
        octets = await stream.receive_some(1 << 16)
        if not octets or len(line) > MAX_LINE_OCTETS:
            return
        line += octets
    sayings, heard = trio.open_memory_channel[str](1024)
    async with trio.open_nursery() as telling:
        telling.start_soon(_tell, stream, heard)
        with sayings:
            final = await _obey(lab, bytes(line), sayings.send_nowait)
    await stream.send_all(reply_line(final))


async def _tell(stream: trio.SocketStream, heard: "trio.MemoryReceiveChannel[str]") -> None:
    async for words in heard:
        await stream.send_all(reply_line(Reply(say=words)))


async def _obey(lab: Lab, line: bytes, say: Callable[[str], None]) -> Reply:
    """Carry out one order; the firewall between orders and the lab."""
    try:
        return await _carry_out(lab, parse_request(line), say)
    except (MeshError, ValueError, OSError) as error:
        problems = sentences(error) if isinstance(error, MeshError) else (str(error),)
        return Reply(say="\n".join(f"error: {each}" for each in problems), exit_code=FAILED)
    except Exception as bug:
        log.exception("a bug in an order")
        return Reply(say=f"error: a bug of the lab's keeper: {bug!r}", exit_code=FAILED)


async def _carry_out(lab: Lab, request: Request, say: Callable[[str], None]) -> Reply:
    match request.order:
        case "apply":
            return Reply(exit_code=await orders.apply(lab, request, say))
        case "delete":
            return Reply(exit_code=await orders.delete(lab, request, say))
        case "wait":
            return Reply(exit_code=await orders.wait(lab, request, say))
        case _:
            await trio.lowlevel.checkpoint()
            return _done(_ask(lab, request))


def _ask(lab: Lab, request: Request) -> Reply:
    *words, last = request.words or ("",)
    match request.order:
        case "get":
            return questions.get(lab, tuple(words), last)
        case "status":
            return questions.status(lab, last)
        case "place":
            return questions.find_place(lab, last)
        case "log":
            return questions.find_log(lab, last)
        case "nodes":
            return Reply(out="\n".join(lab.nodes), say=f"keeper {os.getpid()}")
        case other:
            raise LabRefusedError((f"no order {other!r}: command and lab are of two versions",))


def _done(reply: Reply) -> Reply:
    return Reply(out=reply.out, say=reply.say, place=reply.place, exit_code=DONE)
