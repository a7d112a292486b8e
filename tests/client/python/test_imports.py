"""What a worker does about modules: those that change, and those that it tells its zygote."""

from __future__ import annotations

import importlib
import os
import pathlib
import select
import sys
from collections.abc import Iterator

import pytest

from prefork.worker import imports


@pytest.fixture
def user_path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """A folder on sys.path; what is imported from it is forgotten at the end."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_imports_are_found_once_and_whatever_else_goes(user_path: pathlib.Path) -> None:
    for name in ("one_of_four", "two_of_four", "three_of_four", "four_of_four"):
        (user_path / f"{name}.py").write_text("")
    found = imports.Imports()
    found.skip()
    importlib.import_module("one_of_four")
    importlib.import_module("two_of_four")
    assert found.take() == ["one_of_four", "two_of_four"]
    assert found.take() == []
    del sys.modules["one_of_four"]
    importlib.import_module("three_of_four")
    importlib.import_module("one_of_four")
    assert found.take() == ["three_of_four", "one_of_four"]
    del sys.modules["one_of_four"]
    importlib.import_module("four_of_four")
    everything = found.take()
    assert everything == list(sys.modules)


def test_a_changed_source_drops_all_user_modules(user_path: pathlib.Path) -> None:
    (user_path / "first_one.py").write_text("import second_one\nvalue = second_one.value\n")
    (user_path / "second_one.py").write_text("value = 1\n")
    modules = imports.UserModules(imports.installed_roots())
    assert importlib.import_module("first_one").value == 1
    modules.note()
    assert not modules.drop_changed()
    # Of the same size, within the same second: only the file's times and number differ.
    (user_path / "second_one.py").write_text("value = 2\n")
    assert modules.drop_changed()
    assert "first_one" not in sys.modules and "json" in sys.modules
    assert importlib.import_module("first_one").value == 2
    assert not modules.drop_changed()


def test_a_source_that_is_gone_has_changed(user_path: pathlib.Path) -> None:
    (user_path / "here_and_gone.py").write_text("")
    modules = imports.UserModules(imports.installed_roots())
    importlib.import_module("here_and_gone")
    modules.note()
    (user_path / "here_and_gone.py").unlink()
    assert modules.drop_changed()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("here_and_gone")


def test_installed_modules_are_not_watched() -> None:
    import numpy

    roots = imports.installed_roots()
    for module in (os, numpy):
        assert module.__file__ is not None and module.__file__.startswith(roots)
    modules = imports.UserModules((*roots, ""))  # nothing is the user's
    modules.note()
    assert not modules.drop_changed()


def test_the_zygote_learns_installed_modules_only(user_path: pathlib.Path) -> None:
    (user_path / "of_the_user.py").write_text("import this_is_missing\n")
    learner = imports.Learner(imports.installed_roots())
    sys.modules.pop("colorsys", None)
    pid = os.fork()
    if pid == 0:
        learner.begin_worker()
        import colorsys  # noqa: F401

        try:
            import of_the_user  # type: ignore[import-not-found]  # noqa: F401
        except ImportError:
            pass
        sys.modules["of_the_user"] = sys
        learner.tell()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert select.select([learner.fileno()], [], [], 20)[0]
    assert "colorsys" not in sys.modules
    learner.learn()
    assert "colorsys" in sys.modules
    assert "of_the_user" not in sys.modules
    assert not select.select([learner.fileno()], [], [], 0)[0], "all of it is read"


def test_names_that_a_worker_makes_up_do_no_harm(user_path: pathlib.Path) -> None:
    (user_path / "trap.py").write_text("raise SystemExit('imported')\n")
    learner = imports.Learner(imports.installed_roots())
    pid = os.fork()
    if pid == 0:
        learner._worker_end.send(b"trap\n\n..\nno.such.thing\njson.nothing\n\xff\xfe\n" + b"x" * 5000)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    learner.learn()
    assert "trap" not in sys.modules


def test_a_preload_that_fails_says_which(user_path: pathlib.Path) -> None:
    (user_path / "half_done.py").write_text("1 / 0\n")
    with pytest.raises(ImportError, match="preload of half_done: ZeroDivisionError: division by zero"):
        imports.preload(["json", "half_done"])
