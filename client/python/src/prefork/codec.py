"""How calls and values travel: the layout of payloads, the same in clients and workers.

A payload has a content type:

``application/x-python-pickle``
    A pickle of protocol 5. A call by name is ``(args, kwargs)``, a call by value ``(digest, function, args, kwargs)``
    with the function's own pickle as bytes; either may end with one more element, a dict that is the call's context:
    ``{"cwd": ...}``. A value is the object. The value of a failed task is ``(exception, traceback_text)``.

``application/x-python-pickle; buffers``
    The same with large buffers beside the pickle, so that they are never copied into it::

        u32 count | u32 0 | u64 size of the pickle | count x (u64 place, u64 size) of a buffer | pickle | buffers

    in little-endian. A place is counted from the payload's begin. Usually the buffers follow one another, each at a
    multiple of 64; those of a ``prefork.array`` lie where they lie in it (``arrays.py``).

``...; writable``
    On a call: its arrays, and those of its value, are copies that may be written to. On a value the same.

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
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

PICKLE = "application/x-python-pickle"
JSON = "application/json"
BYTES = "application/octet-stream"
BUFFERS = "; buffers"
CALLS = "; calls"
WRITABLE = "; writable"

# Buffers of this size and more travel beside the pickle.
OUT_OF_BAND_BYTES = 64 * 1024

ALIGNMENT = 64
_HEADER = struct.Struct("<IIQ")
_PLACE = struct.Struct("<QQ")

Buffer: TypeAlias = bytes | bytearray | memoryview | pickle.PickleBuffer


class Encoded(NamedTuple):
    """A payload: a pickle, the buffers beside it, and what they mean."""

    content_type: str
    pickled: bytes
    buffers: Sequence[memoryview] = ()

    @property
    def head_size(self) -> int:
        """Bytes before the first buffer."""
        return _HEADER.size + len(self.buffers) * _PLACE.size + len(self.pickled) if self.buffers else len(self.pickled)

    @property
    def places(self) -> list[int]:
        """Where the buffers lie if they follow one another."""
        places = []
        end = self.head_size
        for buffer in self.buffers:
            places.append(aligned(end))
            end = places[-1] + buffer.nbytes
        return places

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return self.places[-1] + self.buffers[-1].nbytes if self.buffers else len(self.pickled)

    @property
    def parts(self) -> Sequence[Buffer]:
        """What makes the whole, one after the other."""
        return self.parts_at(self.places, self.buffers)

    def parts_at(self, places: Sequence[int], following: Sequence[memoryview]) -> Sequence[Buffer]:
        """The head and those buffers that follow it, one after the other, with what fills the gaps.

        Args:
            places: Of all buffers.
            following: Some of them.
        """
        if not self.buffers:
            return (self.pickled,)
        head = _HEADER.pack(len(self.buffers), 0, len(self.pickled))
        fields = (field for place, buffer in zip(places, self.buffers) for field in (place, buffer.nbytes))
        parts: list[Buffer] = [head + struct.pack(f"<{2 * len(self.buffers)}Q", *fields), self.pickled]
        end = self.head_size
        for buffer in following:
            if end % ALIGNMENT:
                parts.append(bytes(aligned(end) - end))
            parts.append(buffer)
            end = aligned(end) + buffer.nbytes
        return parts

    def joined(self) -> bytes:
        """The whole."""
        return b"".join(self.parts) if self.buffers else self.pickled


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


def lighten_all(values: Iterable[Any]) -> Iterable[Any]:
    """``values``, with what travels in the place of some of them."""
    for value in values:
        if type(value) is bytes and len(value) >= OUT_OF_BAND_BYTES:
            return tuple(map(lighten, values))
    return values


def aligned(place: int) -> int:
    """The first place from there on where a buffer may begin."""
    return place + -place % ALIGNMENT


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
        return Encoded(PICKLE + parameters, data)
    return Encoded(PICKLE + BUFFERS + parameters, data, buffers)


def loads(payload: memoryview, content_type: str) -> Any:
    """Unpickles what ``dumps`` made.

    Large buffers are not copied unless they shall be writable: the objects made of them point into ``payload``.

    Raises:
        ValueError: The layout is not that of the content type.
        Exception: What unpickling raises.
    """
    if BUFFERS not in content_type:
        return pickle.loads(payload)
    data, buffers = split(payload)
    return pickle.loads(data, buffers=map(bytearray, buffers) if WRITABLE in content_type else buffers)


def split(payload: memoryview) -> tuple[memoryview, list[memoryview]]:
    """The pickle of a payload with buffers, and the buffers.

    Raises:
        ValueError: It is cut short or its sizes do not fit.
    """
    total = payload.nbytes
    if total < _HEADER.size:
        raise ValueError(f"a payload with buffers begins with {_HEADER.size} bytes, but this has {total}")
    count, zero, pickle_size = _HEADER.unpack_from(payload)
    begin = _HEADER.size + count * _PLACE.size
    if zero != 0 or begin + pickle_size > total:
        raise ValueError(f"a payload of {total} bytes can't hold {count} buffers and a pickle of {pickle_size} bytes")
    buffers = []
    for place, size in _PLACE.iter_unpack(payload[_HEADER.size : begin]):
        if place + size > total:
            raise ValueError(f"a payload of {total} bytes can't hold a buffer of {size} bytes at {place}")
        buffers.append(payload[place : place + size])
    return payload[begin : begin + pickle_size], buffers


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
