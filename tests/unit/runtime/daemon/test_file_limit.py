"""runtime.daemon.file_limit: in a process of its own, since a hard limit cannot be raised again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime.daemon.file_limit import WANTED

CODE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from runtime.daemon.file_limit import raise_file_limit
print(raise_file_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "then"),
    [(64, 128, 128), (64, WANTED + 1, WANTED), (WANTED + 1, WANTED + 2, WANTED + 1)],
    ids=["as far as it may", "as is needed", "never lowered"],
)
def test_the_soft_limit_is_raised(soft: int, hard: int, then: int):
    """And told; the hard one stays."""
    run = subprocess.run(
        [sys.executable, "-c", CODE, str(soft), str(hard)], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [str(then), str(then), str(hard)]
