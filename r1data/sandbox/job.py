"""What a child does with its job, inside the jail: run code, call it, serve calls of it, or test it through a proxy.

Descriptors: 0 stdin, 1 stdout, 2 stderr, 3 the job (JSON), 4 what is told (a JSON line each), 5 and 6 the pipes between
the code under test and the tests. Standard library only; nothing here knows an expected value except `_test`, which
runs in a child of its own without the code under test.
"""

import ast
import atexit
import builtins
import io
import json
import os
import random
import sys
import threading
import traceback
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from r1data.sandbox.plain import plain, value_of

BROKEN = 113
RECURSION = 10_000
TRACEBACK_LINES = 4
_JOB, _TOLD, _TO, _FROM = 3, 4, 5, 6
# taken before any foreign code could replace them
_dumps, _loads, _write, _exit = json.dumps, json.loads, os.write, os._exit


# collected, they would close the descriptors under the new ones
_KEPT = (sys.stdin, sys.stdout, sys.stderr)
# They would end an iteration of the tests quietly, or look like a fault of the tests themselves.
SILENT = (StopIteration, StopAsyncIteration, SyntaxError, IndentationError, TabError, ImportError, ModuleNotFoundError)


class Gone(BaseException):
    """The code under test has ended; no assertion can be judged any more."""


class Unsupported(BaseException):
    """The tests hand over what cannot cross the wall: a fault of the tests."""


def run() -> None:
    """Read the job, do it, leave."""
    with os.fdopen(_JOB, "rb") as given:
        asked = json.load(given)
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment] # what `site` gives to scripts
    random.seed(0)  # a fork seeds it anew; a verdict must not depend on it
    streams = [
        io.TextIOWrapper(os.fdopen(n, mode, closefd=False), encoding="utf-8", errors="replace")
        for n, mode in enumerate(("rb", "wb", "wb"))
    ]
    sys.stdin, sys.stdout, sys.stderr = streams
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]
    code = {"run": _run, "calls": _calls, "serve": _serve, "tests": _test}[asked["mode"]](asked)
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # foreign code may have put anything there
            stream.flush()
    _exit(code & 255)


def _told(what: dict[str, Any], to: int = _TOLD) -> None:
    left = (_dumps(what) + "\n").encode()
    while left:
        left = left[_write(to, left) :]


def _loaded(source: str, name: str = "solution") -> tuple[dict[str, Any] | None, int]:
    """The namespace of the executed code, or None and the exit code; a script is `__main__`, a library is not."""
    try:
        compiled = compile(source, "<solution>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as e:
        _told({"parses": False, "error": f"{type(e).__name__}: {e}"[:200]})
        return None, 1
    _told({"parses": True})
    module = types.ModuleType(name)
    sys.modules[name] = module
    try:
        exec(compiled, module.__dict__)
    except SystemExit as e:
        return None, e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException as e:  # noqa: BLE001 - whatever foreign code raises
        _failed(e)
        return None, 1
    return module.__dict__, 0


def _failed(e: BaseException) -> None:
    _told({"error": type(e).__name__})
    with suppress(BaseException):  # the exception may be hostile too
        traceback.print_exc(limit=-TRACEBACK_LINES)


def _run(asked: dict[str, Any]) -> int:
    code = _loaded(asked["code"], "__main__")[1]
    with suppress(BaseException):  # as a script's end does: threads are waited for, then what was registered runs
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.__stdout__.flush()  # type: ignore[union-attr]
    return code


def _calls(asked: dict[str, Any]) -> int:
    """Call a function for every tuple of arguments; values go out, nothing is compared here."""
    names, code = _loaded(asked["code"])
    if names is None:
        return code or 1
    for i, arguments in enumerate(asked["calls"]):
        _told({"call": i, **_answer(names, asked["function"], value_of(arguments), {})})
    return 0


def _serve(asked: dict[str, Any]) -> int:
    """Answer the calls that the tests make, until they end."""
    names, code = _loaded(asked["code"])
    if names is None:
        return code or 1
    with os.fdopen(_FROM, encoding="utf-8") as lines:
        for line in lines:
            call = _loads(line)
            _told(_answer(names, call["f"], value_of(call["a"]), value_of(call["k"])), to=_TO)
    return 0


def _answer(names: dict[str, Any], function: str, a: Any, k: Any) -> dict[str, Any]:
    try:
        return {"v": plain(names[function](*a, **k))}
    except BaseException as e:  # noqa: BLE001 - an exception is an answer too
        return {"e": type(e).__name__}


def _proxy(function: str, replies: io.TextIOWrapper) -> Callable[..., Any]:
    """A function that is called in the other child."""

    def call(*a: Any, **k: Any) -> Any:
        try:
            arguments = {"f": function, "a": plain(a), "k": plain(k)}
        except ValueError as e:
            raise Unsupported from e
        try:
            _told(arguments, to=_TO)
            line = replies.readline()
            reply = _loads(line)
            if "v" in reply:
                return value_of(reply["v"])
        except (BrokenPipeError, ValueError, TypeError, KeyError, RecursionError) as e:
            raise Gone from e
        known = getattr(builtins, str(reply.get("e")), RuntimeError)
        raise (
            known if isinstance(known, type) and issubclass(known, Exception) and known not in SILENT else RuntimeError
        )

    call.__name__ = function
    return call


class _Counted(ast.NodeTransformer):
    """Every assertion is counted, and a failed one does not stop the next."""

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        caught = "try:\n pass\nexcept Exception as __caught__:\n __judged__(__caught__)\nelse:\n __judged__(None)"
        (wrapped,) = ast.parse(caught).body
        assert isinstance(wrapped, ast.Try)
        wrapped.body = [node]
        return ast.fix_missing_locations(ast.copy_location(wrapped, node))


def _test(asked: dict[str, Any]) -> int:
    """Run tests against proxies; tells the assertions that held and the outcome of each that did not."""
    held = ran = 0

    def judged(error: Exception | None) -> None:
        nonlocal held, ran
        ran, held = ran + 1, held + (error is None)
        if error is not None and ran - held == 1:
            _told({"first": type(error).__name__})

    names: dict[str, Any] = {"__name__": "tests", "__judged__": judged}
    with os.fdopen(_FROM, encoding="utf-8", errors="replace") as replies:
        try:
            exec(compile(asked["prelude"], "<prelude>", "exec"), names)
            names.update({f: _proxy(f, replies) for f in asked["functions"]})
            exec(compile(_Counted().visit(ast.parse(asked["tests"])), "<tests>", "exec"), names)
        except (Gone, Unsupported, SystemExit) as e:
            _told({"ran": ran, "held": held, "ended": type(e).__name__})
        except Exception as e:  # noqa: BLE001 - tests are foreign code
            _failed(e)
            _told({"ran": ran, "held": held, "ended": type(e).__name__})
        else:
            _told({"ran": ran, "held": held, "ended": ""})
    return 0
