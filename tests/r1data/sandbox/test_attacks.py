"""No program gets out, takes more than its share, or leaves anything behind; each attack is shown to work outside."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from r1data.sandbox.cases import TestSet
from r1data.sandbox.execute import Limits, Ran, Runner
from r1data.sandbox.jail import Zygote
from r1data.sandbox.pool import Sandbox
from tests.r1data.sandbox.attacks import EXHAUSTING, HARMLESS, ONLY_JAILED

LIMITS = Limits(cpu_seconds=2, wall_seconds=6)
FINE = TestSet(stdio=(("", "fine"),))


def ran(sandbox: Sandbox, program: str) -> Ran:
    zygote = Zygote(sandbox.isolation)
    try:
        Runner(zygote).run([{"mode": "run", "code": "x = 'MARKER-OF-ANOTHER-JOB'"}], LIMITS)
        return Runner(zygote).run([{"mode": "run", "code": program}], LIMITS)[0]
    finally:
        zygote.close()


@pytest.mark.parametrize("name", HARMLESS)
def test_the_attack_is_contained(name: str, sandbox: Sandbox, targets: dict[str, object]) -> None:
    found = ran(sandbox, HARMLESS[name].format(**targets))
    assert found.tells("parses") is True, found
    assert "ESCAPED" not in found.out, found
    assert not (Path(str(targets["folder"])) / "left-behind").exists()


@pytest.mark.parametrize("name", HARMLESS)
def test_the_attack_works_without_a_jail(name: str, targets: dict[str, object]) -> None:
    found = subprocess.run(
        [sys.executable, "-S", "-c", HARMLESS[name].format(**targets)], capture_output=True, text=True, timeout=30
    )
    for left in (Path(str(targets["folder"])) / "left-behind", *Path("/tmp").glob(f"r1-attack-{targets['port']}")):
        left.unlink(missing_ok=True)
    Path(f"/dev/shm/r1-attack-{targets['port']}").unlink(missing_ok=True)
    if "ESCAPED" not in found.stdout:
        pytest.skip(f"this machine refuses it anyway: {found.stderr.strip().splitlines()[-1:]}")


@pytest.mark.parametrize("name", ONLY_JAILED)
def test_what_nobody_should_try_outside_is_contained(name: str, sandbox: Sandbox) -> None:
    found = ran(sandbox, ONLY_JAILED[name])
    assert found.tells("parses") is True, found
    assert "ESCAPED" not in found.out, found


@pytest.mark.parametrize("name", EXHAUSTING)
def test_what_would_exhaust_the_machine_ends_with_its_status(name: str, sandbox: Sandbox) -> None:
    program, status = EXHAUSTING[name]
    started = time.monotonic()
    tests = TestSet(stdio=(("", "never printed"),), cpu_seconds=1, wall_seconds=4, memory_mib=256)
    (report,) = sandbox.run([(program, tests)])
    assert status is None or report.status == status, report
    assert report.status not in ("passed", "infra_error"), report
    assert time.monotonic() - started < 60
    assert [r.status for r in sandbox.run([("print('fine')", FINE)] * 4)] == ["passed"] * 4
