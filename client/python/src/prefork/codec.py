"""How calls and values travel: the layout of payloads, the same in clients and workers.

A payload has a content type:

``application/x-python-pickle``
    A pickle of protocol 5. A call by name is ``(args, kwargs)``, a call by value ``(digest, function, args, kwargs)``
    with the function's own pickle as bytes; either may end with one more element, a dict that is the call's context:
    ``{"cwd": ...}``. A value is the object. The value of a failed task is ``(exception, traceback_text)``.

``application/x-python-pickle; buffers``
    The same with large buffers beside the pickle, so that they are never copied into it::

        u32 count | u32 0 | u64 size of the pickle | count x u64 size of a buffer | pickle | buffers

    in little-endian; each buffer begins at a multiple of 64 from the payload's begin.

``...; calls``
    A chunk: ``args`` is a list of argument tuples, and the value is the list of their results. The value of a failed
    chunk is ``(exception, traceback_text, index)`` with the place of the call that failed.

``application/json``
    A call is ``[args...]``, ``{kwargs}`` or ``{"args": [...], "kwargs": {...}}``; a value is any JSON.

``application/octet-stream`` or none
    function(bytes) -> bytes.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

PICKLE = "application/x-python-pickle"
JSON = "application/json"
BYTES = "application/octet-stream"
BUFFERS = "; buffers"
CALLS = "; calls"

# Buffers of this size and more travel beside the pickle.
OUT_OF_BAND_BYTES = 64 * 1024

_ALIGNMENT = 64
_HEADER = struct.Struct("<IIQ")

Buffer: TypeAlias = bytes | bytearray | memoryview | pickle.PickleBuffer


class Encoded(NamedTuple):
    """A payload: the buffers to be sent one after the other, and what they mean."""

    content_type: str
    parts: Sequence[Buffer]

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return sum(part.nbytes if isinstance(part, memoryview) else memoryview(part).nbytes for part in self.parts)


class LargeBytes:
    """Stands for a large ``bytes`` in a pickle, so that it travels as a buffer; unpickles as the ``bytes``."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def __reduce__(self) -> Any:
        return bytes, (pickle.PickleBuffer(self._value),)


def lighten(value: Any) -> Any:
    """``value``, or what travels in its place with fewer copies."""
    if type(value) is bytes and len(value) >= OUT_OF_BAND_BYTES:
        return LargeBytes(value)
    return value


def dumps(value: Any, parameters: str = "") -> Encoded:
    """Pickles ``value`` for the other side.

    Objects that the other process could not import, such as classes of ``__main__`` and lambdas, go by value.

    Args:
        value: Anything that pickle or cloudpickle accepts.
        parameters: Of the content type, as ``CALLS``.

    Raises:
        Exception: What pickling ``value`` raises.
    """
    buffers: list[memoryview] = []
    try:
        data = pickle.dumps(value, 5, buffer_callback=lambda buffer: _keep_in_band(buffer, buffers))
        # Only this process knows its __main__. The bytes may be there for another reason: it is slower, not wrong.
        portable = b"__main__" not in data
    except Exception:  # cloudpickle knows more, or has the better words
        portable = False
    if not portable:
        import cloudpickle

        buffers.clear()
        data = cloudpickle.dumps(value, 5, buffer_callback=lambda buffer: _keep_in_band(buffer, buffers))
    if not buffers:
        return Encoded(PICKLE + parameters, [data])
    return Encoded(PICKLE + BUFFERS + parameters, _with_buffers(data, buffers))


def loads(payload: memoryview, content_type: str) -> Any:
    """Unpickles what ``dumps`` made.

    Large buffers are not copied: the objects made of them point into ``payload``.

    Raises:
        ValueError: The layout is not that of the content type.
        Exception: What unpickling raises.
    """
    if BUFFERS not in content_type:
        return pickle.loads(payload)
    data, buffers = split(payload)
    return pickle.loads(data, buffers=buffers)


def split(payload: memoryview) -> tuple[memoryview, list[memoryview]]:
    """The pickle of a payload with buffers, and the buffers.

    Raises:
        ValueError: It is cut short or its sizes do not fit.
    """
    total = payload.nbytes
    if total < _HEADER.size:
        raise ValueError(f"a payload with buffers begins with {_HEADER.size} bytes, but this has {total}")
    count, zero, pickle_size = _HEADER.unpack_from(payload)
    sizes_end = _HEADER.size + 8 * count
    if zero != 0 or sizes_end + pickle_size > total:
        raise ValueError(f"a payload of {total} bytes can't hold {count} buffers and a pickle of {pickle_size} bytes")
    place = sizes_end + pickle_size
    data = payload[sizes_end:place]
    buffers = []
    for size in struct.unpack_from(f"<{count}Q", payload, _HEADER.size):
        place += -place % _ALIGNMENT
        if place + size > total:
            raise ValueError(f"a payload of {total} bytes can't hold a buffer of {size} bytes at {place}")
        buffers.append(payload[place : place + size])
        place += size
    return data, buffers


def _keep_in_band(buffer: pickle.PickleBuffer, out_of_band: list[memoryview]) -> bool:
    """pickle's callback: true keeps ``buffer`` in the pickle."""
    try:
        raw = buffer.raw()
    except BufferError:  # in pieces
        return True
    if raw.nbytes < OUT_OF_BAND_BYTES:
        return True
    out_of_band.append(raw)
    return False


def _with_buffers(data: bytes, buffers: list[memoryview]) -> list[Buffer]:
    sizes = struct.pack(f"<{len(buffers)}Q", *(buffer.nbytes for buffer in buffers))
    parts: list[Buffer] = [_HEADER.pack(len(buffers), 0, len(data)) + sizes, data]
    place = len(parts[0]) + len(data)  # type: ignore[arg-type]
    for buffer in buffers:
        padding = -place % _ALIGNMENT
        if padding:
            parts.append(bytes(padding))
        parts.append(buffer)
        place += padding + buffer.nbytes
    return parts
