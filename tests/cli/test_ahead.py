"""PyTorch in the background, while a command begins."""

from __future__ import annotations

import builtins
import gc
import subprocess
import sys
import threading

import pytest

from facetrack.cli import ahead


def test_it_is_imported_and_garbage_is_collected_again():
    """In an interpreter of its own, as this one has PyTorch already."""
    script = (
        "import gc, sys, threading\n"
        "from facetrack.cli.ahead import import_torch_ahead\n"
        "assert 'torch' not in sys.modules\n"
        "import_torch_ahead()\n"
        "[t.join() for t in threading.enumerate() if t.name == 'import torch']\n"
        "assert 'torch' in sys.modules and gc.isenabled() and gc.get_freeze_count()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError])
def test_a_broken_pytorch_is_left_to_who_needs_it(monkeypatch, capfd, error):
    """RuntimeError: the command is over, and Python shutting down."""

    def refuse(name, *more, **still_more):
        if name == "torch":
            raise error("no torch here")
        return real(name, *more, **still_more)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    ahead.import_torch_ahead()
    for thread in threading.enumerate():
        if thread.name == "import torch":
            thread.join()
    gc.unfreeze()
    assert gc.isenabled()
    assert capfd.readouterr().err == ""
