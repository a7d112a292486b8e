"""A call as the payload of a task: which function, with which arguments. The layout of payloads: see ``codec.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import codec
from .functions import Function, describe


def encode_call(
    fn: Callable[..., Any],
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    context: tuple[dict[str, str], ...] = (),
    parameters: str = "",
) -> tuple[Function, str, codec.Buffer]:
    """The function, and the content type and payload of a call of it in ``context`` (see ``Core.context``).

    Raises:
        Exception: What pickling raises.
    """
    function = describe(fn)
    content_type, payload = encode_arguments(function, args, kwargs, context, parameters)
    return function, content_type, payload


def encode_arguments(
    function: Function,
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    context: tuple[dict[str, str], ...] = (),
    parameters: str = "",
) -> tuple[str, codec.Buffer]:
    """Content type and payload of a call.

    Raises:
        Exception: What pickling raises.
    """
    if function.by_value:
        call: tuple[Any, ...] = (function.digest, function.pickled, args, kwargs, *context)
    else:
        call = (args, kwargs, *context)
    encoded = codec.dumps(call, parameters)
    payload = encoded.parts[0] if len(encoded.parts) == 1 else b"".join(encoded.parts)
    return encoded.content_type, payload
