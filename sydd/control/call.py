"""One call: from its frame to the interface's method, and from what that returns or raises to replies."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from asyncvarlink import (
    FileDescriptor,
    FileDescriptorArray,
    VarlinkErrorReply,
    VarlinkInterfaceRegistry,
    VarlinkMethodCall,
    VarlinkMethodReply,
)
from asyncvarlink.conversion import ConversionError, FileDescriptorVarlinkType
from asyncvarlink.interface import AnnotatedResult, VarlinkMethodSignature
from asyncvarlink.serviceerrors import InvalidParameter, MethodNotImplemented

from sydd.control.frame import check_strings, encode
from sydd.control.interface import REPLIES
from sydd.wire.errors import ControlError, Failed

Send = Callable[[bytes, list[int]], Awaitable[None]]
"""Sends a frame with descriptors, which stay the caller's, until the kernel has both; HungUpError else."""

_LONGEST_NAME = 100
_log = logging.getLogger("sydd.control")


class HungUpError(Exception):
    """Nobody takes the reply any more."""


class Descriptors(FileDescriptorArray):
    """The descriptors that came with a call, which stay the connection's."""

    def __getitem__(self, index: int) -> Any:
        """The one at *index*, which does not count from the end.

        Raises:
            IndexError: there is none.
        """
        if isinstance(index, bool) or index < 0:
            raise IndexError(index)
        return super().__getitem__(index)


async def answer(
    registry: VarlinkInterfaceRegistry, call: VarlinkMethodCall, descriptors: Iterable[int], send: Send
) -> bool:
    """Perform a call and send what comes of it, be it an error.

    Args:
        registry: the interfaces.
        call: what is asked.
        descriptors: that came with it; they stay the caller's.
        send: for the replies.

    Returns:
        Whether it was no error.

    Raises:
        HungUpError: a reply could not be sent.
    """
    try:
        with Descriptors.new_managed() as array:
            for fd in descriptors:
                array.add(FileDescriptor(fd))
            await _perform(registry, call, array, send)
    except ControlError as error:
        reply = error_reply(error)
    except VarlinkErrorReply as error:
        reply = error.toreply()
    except HungUpError:
        raise
    except Exception as error:  # noqa: BLE001  # a mistake of sydd's own: the daemon lives, the caller is told
        _log.exception("the call %s failed", call.method)
        text = f"a mistake of sydd's own, please report it: {type(error).__name__}: {error}"
        reply = error_reply(Failed(text))
    else:
        return True
    if not call.oneway:
        await send(encode(reply.tojson()), [])
    return False


def error_reply(error: ControlError) -> VarlinkMethodReply:
    """The reply that tells an error."""
    return REPLIES[type(error)](**error.parameters()).toreply()


async def _perform(
    registry: VarlinkInterfaceRegistry, call: VarlinkMethodCall, descriptors: Descriptors, send: Send
) -> None:
    if call.upgrade:
        raise MethodNotImplemented(method=call.method[:_LONGEST_NAME])
    method, signature = registry.lookup_method(call)
    try:
        arguments = signature.parameter_type.fromjson(
            call.parameters, {FileDescriptorVarlinkType: descriptors}
        )
    except ConversionError as error:
        where = str(error.location[0])[:_LONGEST_NAME] if error.location else "parameters"
        raise InvalidParameter(parameter=where) from None
    check_strings(arguments)
    result = method(**arguments)
    if signature.more:
        async with contextlib.aclosing(result):
            async for item in result:
                await _send_result(signature, item, send)
        return
    if signature.asynchronous:
        result = await result
    await _send_result(signature, result, None if call.oneway else send)


async def _send_result(signature: VarlinkMethodSignature, result: AnnotatedResult, send: Send | None) -> None:
    """Send what a method returned; close the descriptors in it, whether it is wanted or not."""
    with FileDescriptorArray.new_managed() as descriptors:
        parameters = signature.return_type.tojson(result.parameters, {FileDescriptorVarlinkType: descriptors})
        if send is not None:
            reply = VarlinkMethodReply(parameters, result.continues)
            await send(encode(reply.tojson()), [item.fileno() for item in descriptors])
