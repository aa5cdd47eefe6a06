"""Memory of training on the CPU: the process keeps it."""

import subprocess
import sys

import pytest

# Allocates and frees 64 MB ten times; prints the page faults of the second half.
SCRIPT = """
import resource, sys
import torch
from errseg.engine.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for i in range(10):
    if i == 5:
        before = faults()
    torch.ones(16_000_000)
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the settings are of glibc")
def test_the_memory_of_freed_tensors_is_used_again():
    """Each new block of 64 MB costs page faults, 16 thousand of small pages, unless the process keeps its memory."""

    def faults(word):
        call = subprocess.run([sys.executable, "-c", SCRIPT, word], capture_output=True, text=True, check=True)
        return int(call.stdout)

    assert faults("keep") < 100 < faults("free")
