"""Payloads: what is made by one process is read by another."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import numpy
import pytest

from prefork import codec

LARGE = codec.OUT_OF_BAND_BYTES


def joined(encoded: codec.Encoded) -> memoryview:
    payload = b"".join(encoded.parts)
    assert encoded.size == len(payload)
    return memoryview(payload)


def there_and_back(value: Any) -> Any:
    encoded = codec.dumps(value)
    return codec.loads(joined(encoded), encoded.content_type)


@pytest.mark.parametrize("value", [None, (1, 2.5, "x"), {"a": [b"b"]}, b"", b"x" * 1000, ((), {"k": {1, 2}})])
def test_small_values_are_a_plain_pickle(value: Any) -> None:
    encoded = codec.dumps(value)
    assert encoded.content_type == codec.PICKLE
    assert len(encoded.parts) == 1
    assert pickle.loads(encoded.parts[0]) == value


def test_large_buffers_travel_beside_the_pickle_uncopied() -> None:
    first = numpy.arange(LARGE, dtype=numpy.int8)
    second = numpy.arange(LARGE, dtype=numpy.float64)
    small = numpy.arange(10)
    encoded = codec.dumps([first, small, second])
    assert encoded.content_type == codec.PICKLE + codec.BUFFERS
    addresses = {numpy.asarray(part).ctypes.data for part in encoded.parts if isinstance(part, memoryview)}
    assert addresses == {first.ctypes.data, second.ctypes.data}

    payload = joined(encoded)
    begin = numpy.asarray(payload).ctypes.data
    result = codec.loads(payload, encoded.content_type)
    for array, original in zip(result, (first, small, second)):
        assert (array == original).all()
    assert (result[0].ctypes.data - begin) % 64 == 0
    assert begin < result[2].ctypes.data < begin + payload.nbytes, "the array lies in the payload"
    assert not result[2].flags.writeable
    assert result[1].flags.writeable, "what came in the pickle is the receiver's own"


def test_arrays_in_pieces_and_in_fortran_order_arrive_whole() -> None:
    square = numpy.arange(LARGE, dtype=numpy.float64).reshape(-1, 256)
    for array in (square[:, ::2], numpy.asfortranarray(square), square.T):
        assert (there_and_back(array) == array).all()


def test_large_bytes_are_not_copied_into_the_pickle() -> None:
    value = b"x" * LARGE
    encoded = codec.dumps(codec.lighten(value))
    assert encoded.content_type == codec.PICKLE + codec.BUFFERS
    result = codec.loads(joined(encoded), encoded.content_type)
    assert type(result) is bytes and result == value
    assert codec.lighten(value[1:]) == value[1:], "small ones are themselves"


def test_buffers_may_lie_anywhere() -> None:
    array = numpy.arange(LARGE, dtype=numpy.uint8)
    encoded = codec.dumps(array)
    place = encoded.head_size + 8
    payload = b"".join(encoded.parts_at([place], ())) + b"\0" * 8 + array.tobytes()
    assert (codec.loads(memoryview(payload), encoded.content_type) == array).all()


def test_writable_ones_are_copies() -> None:
    array = numpy.arange(LARGE, dtype=numpy.uint8)
    encoded = codec.dumps(array, codec.WRITABLE)
    payload = joined(encoded)
    result = codec.loads(payload, encoded.content_type)
    result += 1
    assert (codec.loads(payload, codec.PICKLE + codec.BUFFERS) == array).all()


def test_what_only_this_program_has_goes_by_value(run_program: Any) -> None:
    ended = run_program(
        """
        import sys, subprocess
        from prefork import codec

        class Point:
            def __init__(self, x): self.x = x

        encoded = codec.dumps([Point(3), lambda y: y + 1])
        child = "import sys; from prefork import codec; " \
            "p, f = codec.loads(memoryview(sys.stdin.buffer.read()), codec.PICKLE); print(p.x, f(4))"
        subprocess.run([sys.executable, "-c", child], input=b"".join(encoded.parts), check=True)
        """
    )
    assert ended.stdout == "3 5\n", ended.stderr


def test_what_cannot_be_pickled_is_the_callers_error() -> None:
    with pytest.raises(TypeError, match="generator"):
        codec.dumps(x for x in ())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"x" * 15,
        struct.pack("<IIQ", 1, 0, 10),
        struct.pack("<IIQ", 0, 1, 0),
        struct.pack("<IIQ", 2**32 - 1, 0, 0),
        struct.pack("<IIQ", 0, 0, 2**63),
        struct.pack("<IIQQ", 1, 0, 0, 32),
        struct.pack("<IIQQQ", 1, 0, 0, 0, 2**64 - 1),
        struct.pack("<IIQQQ", 1, 0, 0, 2**64 - 1, 1),
        struct.pack("<IIQQQ", 1, 0, 0, 32, 1),
    ],
)
def test_a_payload_that_is_cut_short_is_named(payload: bytes) -> None:
    with pytest.raises(ValueError, match=f"payload (of {len(payload)} bytes|with buffers)"):
        codec.loads(memoryview(payload), codec.PICKLE + codec.BUFFERS)
