"""The Runner port over real processes."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from drd.clients.process.child import Child, Ends
from drd.clients.process.shortage import told_of
from drd.core.errors import TransientError
from drd.ports.cancelling import to_the_end
from drd.ports.runner import Command, Ended, Ending, OnLine

CONSUMER_SECONDS = 0.5
"""How long a consumer gets to end by itself when its producer has failed: it may be what the producer failed of."""


class ChildRunner:
    """Runs programs as children of drd, each in a session and process group of its own."""

    async def run(self, command: Command, on_line: OnLine | None = None) -> Ended:
        """Run one program to its end; see the port."""
        child = await Child.start(command, on_line)
        try:
            ending = await child.over()
        except asyncio.CancelledError:
            await _stopped(child)
            raise
        return await to_the_end(child.gone(ending))

    async def pipe(self, producer: Command, consumer: Command, on_line: OnLine | None = None) -> tuple[Ended, Ended]:
        """Run two programs, the second reading what the first writes; see the port.

        The consumer is started first: when drd itself dies, the kernel kills its children in the order of their start,
        and the consumer must not live to see the end of its input.
        """
        with told_of(consumer.argv[0], consumer.working_directory):
            joint = _Joint()
        try:
            reading = await Child.start(consumer, on_line, Ends(standard_input=joint.read_end))
            joint.close_read_end()
            try:
                writing = await Child.start(producer, None, Ends(standard_output=joint.write_end))
                return await _piped(writing, reading, joint)
            except BaseException:
                await _stopped(reading)
                raise
        finally:
            joint.close()


class _Joint:
    """A pipe of which drd holds a write end: while that is open, the reader cannot see the end of its input."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self._open = {self.read_end, self.write_end}

    def close_read_end(self) -> None:
        self._close(self.read_end)

    def close_write_end(self) -> None:
        self._close(self.write_end)

    def close(self) -> None:
        for descriptor in tuple(self._open):
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        self._open.discard(descriptor)
        os.close(descriptor)


async def _piped(writing: Child, reading: Child, joint: _Joint) -> tuple[Ended, Ended]:
    written, read = asyncio.ensure_future(writing.over()), asyncio.ensure_future(reading.over())
    try:
        await asyncio.wait({written, read}, return_when=asyncio.FIRST_COMPLETED)
        if not written.done():
            consumed = await to_the_end(reading.gone(read.result()))
            return await to_the_end(writing.gone(Ending.CANCELLED)), consumed
        produced = await to_the_end(writing.gone(written.result()))
        if produced.code == 0 and produced.ending is Ending.EXITED:
            joint.close_write_end()
            return produced, await to_the_end(reading.gone(await read))
        await reading.left_within(CONSUMER_SECONDS)
        return produced, await to_the_end(reading.gone(Ending.CANCELLED))
    except BaseException:
        await _stopped(writing)
        raise
    finally:
        written.cancel()
        read.cancel()


async def _stopped(child: Child) -> None:
    # The caller hears why it was stopped; that the kernel keeps a killed process comes second to that.
    with suppress(TransientError):
        await to_the_end(child.gone(Ending.CANCELLED))
