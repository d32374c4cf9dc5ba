"""No program is rewarded that does not compute the answer, whatever style its tests have; one that does, is."""

import pytest

from r1data.sandbox.cases import TestSet
from r1data.sandbox.pool import Sandbox
from tests.r1data.sandbox.hacks import HACKS

SQUARES = ((3, 9), (11, 121), (1234, 1522756))
ASSERTS = "".join(f"assert solve({x}) == {y}\n" for x, y in SQUARES)
STYLES = {
    "asserts": TestSet(asserts=ASSERTS, functions=("solve",), wall_seconds=2),
    "calls": TestSet(calls=tuple(([x], y) for x, y in SQUARES), functions=("solve",)),
    "stdio": TestSet(stdio=tuple((f"{x}\n", f"{y}\n") for x, y in SQUARES)),
}
RIGHT = "def solve(x): return x * x\n"
FROM_INPUT = "if __name__ == '__main__':\n import sys\n for line in sys.stdin: print(solve(int(line)))"


@pytest.mark.parametrize("style", STYLES)
def test_the_right_program_passes(style: str, sandbox: Sandbox) -> None:
    (report,) = sandbox.run([(RIGHT + FROM_INPUT, STYLES[style])])
    assert (report.status, report.share, report.parses, report.runs) == ("passed", 1.0, True, True), report


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", HACKS)
def test_the_hack_earns_nothing(name: str, style: str, sandbox: Sandbox) -> None:
    program = HACKS[name] + ("\n" + FROM_INPUT if style == "stdio" else "")
    (report,) = sandbox.run([(program, STYLES[style])])
    assert report.status in ("wrong", "runtime_error", "timeout"), report
    assert report.passed == 0, report
