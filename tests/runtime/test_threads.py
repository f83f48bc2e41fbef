"""How threads share the processor's cores."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from facetrack.runtime.threads import SPINS


def spins(**environment: str) -> str:
    """GOMP_SPINCOUNT once the command line has run; PyTorch must not be loaded before."""
    script = (
        "import os, sys\n"
        "from facetrack.cli import main\n"
        "assert 'torch' not in sys.modules\n"
        "sys.argv = ['facetrack', '--version']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(os.environ.get('GOMP_SPINCOUNT'), file=sys.stderr)\n"
    )
    rest = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**rest, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stderr.strip()


def test_threads_of_the_command_line_wait_briefly():
    assert spins() == str(SPINS)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_the_users_own_way_to_wait_stays(environment, wanted):
    assert spins(**environment) == wanted
