"""What the tests of training share."""

import logging

import pytest


@pytest.fixture(autouse=True)
def loggers_of_a_program(caplog):
    """A program has set up its loggers. Else the first trainer of the process does, and takes messages from caplog."""
    for name in ("detectron2", "errseg"):
        caplog.set_level(logging.INFO, logger=name)
