"""No traceback is logged for a failure that ends a run with one sentence."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from errseg.errors import UsageError
from errseg.failures import explanation, os_error_of

__all__ = ["one_sentence", "survive_log_failures"]


@contextmanager
def one_sentence(folder: str, logger_name: str) -> Iterator[None]:
    """Suppress the traceback, in a logger and in threads, of a failure that one sentence explains.

    Args:
        folder: OUTPUT_DIR.
        logger_name: the logger of the training loop, which logs every exception with its traceback.
    """
    logger, hook = logging.getLogger(logger_name), threading.excepthook

    def without_traceback(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Exception) and (isinstance(error, UsageError) or explanation(error, folder)):
            record.exc_info = None
        return True

    def of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or os_error_of(args.exc_value) is None:  # TensorBoard's thread tells the main one
            hook(args)

    logger.addFilter(without_traceback)
    threading.excepthook = of_thread
    try:
        yield
    finally:
        logger.removeFilter(without_traceback)
        threading.excepthook = hook


def survive_log_failures(folder: str) -> None:
    """Continue without a log file of ``folder`` that cannot be written. Warn once, not at each line."""
    for logger in (logging.getLogger(name) for name in ("detectron2", "errseg", "fvcore")):
        for handler in logger.handlers:
            stream = getattr(handler, "stream", None)
            if Path(str(getattr(stream, "name", ""))).absolute().is_relative_to(Path(folder).absolute()):
                handler.handleError = lambda record, stream=stream: _give_up(stream)


def _give_up(stream) -> None:
    """Redirect a stream to the null device. Its buffered lines go there too: at exit they would fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    logging.getLogger(__name__).warning("%s cannot be written any more; what follows is not in it.", stream.name)
