"""Memory of a model on the CPU: the process keeps it, and gives it back."""

import subprocess
import sys

import pytest

from errseg import memory
from tests.tiny import blobs, tiny_segmenter

# Prints the page faults of allocating and freeing 64 MB ten times, before the context and in it, and the pages that the
# process has at the end of the context and after it, in MB.
SCRIPT = """
import resource
import torch
from errseg.memory import kept_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 10**6
free = faults()
with kept_memory() as has_settings:
    assert has_settings
    with kept_memory():
        pass
    kept, inside = faults(), held()
print(free, kept, inside, held())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the settings are of glibc")
def test_the_memory_of_freed_tensors_is_used_again():
    """Each new block of 64 MB costs page faults, 16 thousand of small pages, unless the process keeps its memory."""
    call = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    free, kept, inside, after = map(int, call.stdout.split())
    assert kept < free / 2 and after < inside - 50, call.stdout


def test_a_generator_of_results_keeps_memory_until_it_ends_or_is_left():
    model = tiny_segmenter("ERRSeg")
    model.set_vocabulary(["cat", "grass"])
    results = model(blobs() for _ in range(2))  # a generator for a generator
    assert memory._inside == 0
    next(results)
    assert memory._inside == (sys.platform == "linux")
    results.close()
    assert memory._inside == 0 and len(model([blobs()])) == 1 and memory._inside == 0
