"""``prefork.array``: numpy arrays that workers see where they are, without any copy.

The memory is a segment (see ``Client::AllocateSegment``), with room before the array for the heads of calls::

    | head of a call | head of another | ... free ... | the array                          |
      ^ a task's payload begins here ------------------------------> ^ and ends after the
                                                                       last byte it needs

A call is pickled as any other. When the buffer that pickle hands out lies in such an array, it stays there, and the rest
of the payload, with what else the call has, goes into the room; the payload is what lies between. So any contiguous
part, view or reshape of the array travels by reference, in any number of tasks at once. What does not fit goes the usual
way, with a copy: a call with large arrays of two different segments, and a call when the room is used up.

A place in the room is free again when the task has ended. The segment is given back when nobody uses it any more: no
array or view here, no task and no worker; and when this process ends, by whatever cause.
"""

from __future__ import annotations

import bisect
import collections
import itertools
import threading
import weakref
from typing import TYPE_CHECKING, Any

from . import _client, codec, errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy
    import numpy.typing

_PAGE = 4096
_LEAST_ROOM = 64 * 1024
_MOST_ROOM = 1024 * 1024
# One part of an array in so many is room, between these bounds.
_ROOM_SHARE = 16


def array(
    shape: int | Sequence[int], dtype: numpy.typing.DTypeLike = float, *, address: str | None = None
) -> numpy.ndarray[Any, Any]:
    """A numpy array that workers see in place when it, or a contiguous part of it, is an argument.

    Its contents are arbitrary at first, as those of ``numpy.empty``. It can be read and written like any other array,
    but not while a task that has it as an argument is unfinished: the task would see either state, or both. Tasks see it
    read-only. When the daemon is on another host it is an ordinary array, and is copied as such.

    Args:
        shape: As for ``numpy.empty``.
        dtype: Of the elements; no Python objects.
        address: Of the daemon, as for ``Executor``.

    Raises:
        MemoryError: There is no room; the text names the limit.
        TypeError: Elements of this type can't be shared.
        DaemonUnavailable: No daemon answers, and none could be started.
    """
    import numpy

    from .connection import connect

    element = numpy.dtype(dtype)
    if element.hasobject:
        raise TypeError(f"an array of {element} holds Python objects, which can't be shared")
    dimensions = (shape,) if isinstance(shape, int) else tuple(shape)
    size = element.itemsize
    for length in dimensions:
        size *= length
    if size <= 0:
        return numpy.empty(dimensions, element)  # nothing to share; it objects to a negative length
    wanted_room = min(max(size // _ROOM_SHARE, _LEAST_ROOM), _MOST_ROOM)
    room_size = wanted_room + -wanted_room % _PAGE
    try:
        segment = connect(address).allocate(room_size + size)
    except errors.RequestRejected as error:
        raise MemoryError(str(error)) from None
    if segment.shared:
        _Memory(segment, room_size)
    return numpy.ndarray(dimensions, element, memoryview(segment), room_size)


def place(connection: _client.Connection, encoded: codec.Encoded) -> _client.Payload | None:
    """The payload in the array that the call is about; None: there is none, or it does not fit.

    Args:
        encoded: A call with buffers.
    """
    largest = max(encoded.buffers, key=len)
    memory = _find(_client.address_of(largest))
    segment = None if memory is None else memory.segment()
    if memory is None or segment is None or not connection.reaches(segment):
        return None
    addresses = [_client.address_of(buffer) for buffer in encoded.buffers]
    beside = [buffer for buffer, address in zip(encoded.buffers, addresses) if not memory.begin <= address < memory.end]
    head = encoded.head_size + sum(codec.aligned(buffer.nbytes) for buffer in beside) + codec.ALIGNMENT
    begin = memory.room.take(head)
    if begin is None:
        return None
    places = []
    end = encoded.head_size
    for buffer, address in zip(encoded.buffers, addresses):
        if memory.begin <= address < memory.end:
            places.append(address - memory.begin - begin)
        else:
            places.append(codec.aligned(end))
            end = places[-1] + buffer.nbytes
    segment.write(begin, encoded.parts_at(places, beside))
    size = max(place + buffer.nbytes for place, buffer in zip(places, encoded.buffers))
    return _PayloadInArray(segment, begin, size, memory.room, head)


class _Memory:
    """A segment with an array, for as long as it lives. Thread-safe.

    Args:
        segment: Not kept.
        room_size: What is before the array.
    """

    def __init__(self, segment: _client.Segment, room_size: int) -> None:
        number = next(_numbers)
        self.segment = weakref.ref(segment, lambda _: _memories.pop(number))
        self.begin = _client.address_of(segment)
        self.end = self.begin + len(segment)
        self.room = _Room(room_size)
        _memories[number] = self


_numbers = itertools.count()
_memories: dict[int, _Memory] = {}


def _find(address: int) -> _Memory | None:
    for memory in list(_memories.values()):
        if memory.begin <= address < memory.end:
            return memory
    return None


class _Room:
    """The places for heads of calls. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._free = [(0, size)]  # (begin, end), sorted, never adjacent
        # Given back by the end of an object, and so maybe in the middle of `take`.
        self._returned: collections.deque[tuple[int, int]] = collections.deque()

    def take(self, size: int) -> int | None:
        """Where so many bytes are free; they are not any more. None: nowhere."""
        size = codec.aligned(size)
        with self._lock:
            while self._returned:
                self._merge(self._returned.popleft())
            for index, (begin, end) in enumerate(self._free):
                if end - begin < size:
                    continue
                self._free[index : index + 1] = [(begin + size, end)] if end - begin > size else []
                return begin
        return None

    def give_back(self, begin: int, size: int) -> None:
        """For what ``take(size)`` has returned."""
        self._returned.append((begin, begin + codec.aligned(size)))

    def _merge(self, piece: tuple[int, int]) -> None:
        begin, end = piece
        index = bisect.bisect(self._free, piece)
        if index < len(self._free) and self._free[index][0] == end:
            end = self._free.pop(index)[1]
        if index > 0 and self._free[index - 1][1] == begin:
            begin = self._free.pop(index - 1)[0]
            index -= 1
        self._free.insert(index, (begin, end))


class _PayloadInArray(_client.Payload):
    """One whose place in the room is free again at its end."""

    def __init__(self, segment: _client.Segment, begin: int, size: int, room: _Room, head: int) -> None:
        self._taken = (room, begin, head)
        super().__init__(segment, begin, size)

    def __del__(self) -> None:
        room, begin, head = self._taken
        room.give_back(begin, head)
