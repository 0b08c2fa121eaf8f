"""Errors explained to a user on one line.

This is imported before numpy and torch, so it recognises their errors by name and message.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # errors that only writing raises
NO_MEMORY = ("DefaultCPUAllocator", "std::bad_alloc", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")  # of torch
DEAD_WORKER = re.compile(r"DataLoader worker .*(exited unexpectedly|killed by signal)|Pin memory thread exited")


def explained(error: BaseException) -> str | None:
    """Return the error on one line, beginning with the file to blame, if any; None if it is a bug of this program."""
    if isinstance(error, ValueError):
        return _message(error)
    failed = system_error(error)
    if failed is not None:
        return _of_system(failed)
    if out_of_memory(error):
        return _of_memory(error)
    if _is(error, "BrokenExecutor") or (isinstance(error, RuntimeError) and DEAD_WORKER.search(str(error))):
        return f"a process that prepares data died, often for want of memory ({_message(error)}); run again"
    return None


def system_error(error: BaseException) -> OSError | None:
    """Return the operating system's error, if there was one; Rust libraries give its number at the end of a message."""
    if isinstance(error, OSError):
        return error
    found = re.search(r"\(os error (\d+)\)", str(error))
    if found is None or isinstance(error, ValueError):
        return None
    return OSError(int(found[1]), os.strerror(int(found[1])))


def out_of_memory(error: BaseException) -> bool:
    """Whether the machine or the GPU ran out of memory."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    return isinstance(error, MemoryError) or said or _is(error, "OutOfMemoryError")


def machine_failed(error: BaseException) -> bool:
    """Whether the machine, and not the content of a file, is to blame for an error in reading it.

    For damaged files, decoders raise OSError without a number, or seek to invalid positions (EINVAL).
    """
    return out_of_memory(error) or (isinstance(error, OSError) and error.errno not in (None, errno.EINVAL))


@contextmanager
def advising(advice: str) -> Iterator[None]:
    """Add advice on using less memory to an out-of-memory error."""
    try:
        yield
    except Exception as error:
        if out_of_memory(error):
            error.add_note(advice)
        raise


def _of_system(error: OSError) -> str:
    if error.strerror is None:
        return _message(error)
    return error.strerror if error.filename is None else f"{printable(os.fsdecode(error.filename))}: {error.strerror}"


def _of_memory(error: BaseException) -> str:
    where = " on the GPU" if _is(error, "OutOfMemoryError") or "CU" in str(error) else ""
    asked = re.search(r"allocate ([\d.]+ \w+)", str(error))
    more = f" ({asked[1]} more were asked for)" if asked else ""
    return "; ".join([f"out of memory{where}{more}", *getattr(error, "__notes__", [])])


def _message(error: BaseException) -> str:
    text = str(error)
    if "\nOriginal Traceback" in text:  # from a data worker: the last line has the type and the message
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return " ".join(text.split())


def _is(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(error).__mro__)


def printable(text: str) -> str:
    """Quote and escape text from outside if it has line ends, control characters or undecodable bytes."""
    return text if text.isprintable() else ascii(text)
