"""How functions are named, and when the pickle of one may be used again."""

from __future__ import annotations

import functools
import gc
import json
import math
import pickle
import weakref
from typing import Any

import pytest

from prefork import functions


def module_function() -> None: ...


class Holder:
    @staticmethod
    def static() -> int:
        return 1

    def method(self) -> int:
        return 2


def call(function: Any, *args: Any) -> Any:
    """What a worker gets when it calls it."""
    described = functions.describe(function)
    assert described.by_value
    return pickle.loads(described.pickled)(*args)


@pytest.mark.parametrize(
    "function, name",
    [
        (math.sqrt, "math:sqrt"),
        (json.dumps, "json:dumps"),
        (len, "builtins:len"),
        (module_function, f"{__name__}:module_function"),
        (Holder, f"{__name__}:Holder"),
        (Holder.static, f"{__name__}:Holder.static"),
    ],
)
def test_what_can_be_imported_goes_by_name(function: Any, name: str) -> None:
    assert functions.describe(function) == (name, b"", b"")


def test_everything_else_goes_by_value() -> None:
    base = 10
    assert call(lambda x: x + base, 1) == 11
    assert call(functools.partial(max, 5), 3) == 5
    assert call(Holder().method) == 2

    def shadowed() -> int:
        return 3

    shadowed.__qualname__ = "module_function"  # the name means another function
    assert call(shadowed) == 3


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="3 is not callable"):
        functions.describe(3)  # type: ignore[arg-type]


def test_a_steady_function_is_pickled_once() -> None:
    factor = 3

    def helper(x: int) -> int:
        return x * factor

    def function(x: int) -> int:
        return helper(x) + len("abc")

    assert functions.describe(function) is functions.describe(function)


def test_changes_of_closures_and_globals_are_seen() -> None:
    scope: dict[str, Any] = {"limit": 1, "__name__": "nowhere"}
    exec("def inner(): return limit\ndef outer(): return inner()", scope)
    assert call(scope["outer"]) == 1
    scope["limit"] = 2
    assert call(scope["outer"]) == 2, "through two functions"
    exec("def inner(): return 30", scope)
    assert call(scope["outer"]) == 30, "the helper is another one"

    value = 1

    def closure() -> int:
        return value

    assert call(closure) == 1
    value = 2
    assert call(closure) == 2


def test_what_changes_in_place_is_pickled_each_time() -> None:
    items = [1]
    assert call(lambda: items) == [1]

    def function() -> list[int]:
        return items

    assert call(function) == [1]
    items.append(2)
    assert call(function) == [1, 2]

    def with_default(seen: list[int] = items) -> list[int]:
        return seen

    assert call(with_default) == [1, 2]
    items.append(3)
    assert call(with_default) == [1, 2, 3]


def test_a_function_that_is_kept_can_still_go() -> None:
    def recursive(n: int) -> int:
        return 1 if n == 0 else n * recursive(n - 1)

    assert call(recursive, 5) == 120
    assert functions.describe(recursive) is functions.describe(recursive)
    gone = weakref.ref(recursive)
    del recursive
    gc.collect()
    assert gone() is None
