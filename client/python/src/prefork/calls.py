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
) -> tuple[Function, codec.Encoded]:
    """The function, and a call of it in ``context`` (see ``Core.context``).

    Raises:
        Exception: What pickling raises.
    """
    function = describe(fn)
    return function, encode_arguments(function, args, kwargs, context, parameters)


def encode_arguments(
    function: Function,
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    context: tuple[dict[str, str], ...] = (),
    parameters: str = "",
) -> codec.Encoded:
    """A call.

    Raises:
        Exception: What pickling raises.
    """
    if codec.CALLS in parameters:
        args = [codec.lighten_all(each) for each in args]
    else:
        args = codec.lighten_all(args)
    if function.by_value:
        call: tuple[Any, ...] = (function.digest, function.pickled, args, kwargs, *context)
    else:
        call = (args, kwargs, *context)
    return codec.dumps(call, parameters)
