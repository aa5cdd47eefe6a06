"""What the tests of training share."""

import logging

import pytest


@pytest.fixture(autouse=True)
def loggers_as_they_were():
    """A trainer sets up loggers that nobody has set up; other tests read them without their handlers."""
    loggers = [logging.getLogger(name) for name in ("detectron2", "errseg")]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers = handlers
