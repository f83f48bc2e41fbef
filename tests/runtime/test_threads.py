"""Test how threads share the processor's cores."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from facetrack.runtime.threads import SPIN_COUNT


def spin_count(**environment: str) -> str:
    """Return GOMP_SPINCOUNT after a run of the command line, which must not load PyTorch before."""
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


def test_the_command_line_limits_spinning():
    assert spin_count() == str(SPIN_COUNT)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_the_users_setting_takes_precedence(environment, wanted):
    assert spin_count(**environment) == wanted
