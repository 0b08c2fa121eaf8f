"""How an error is told to a user.

Imported before numpy and torch, whose errors are therefore known by their names and words.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # whatever fails so was being written
NO_MEMORY = ("DefaultCPUAllocator", "std::bad_alloc", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")  # of torch
DEAD_WORKER = re.compile(r"DataLoader worker .*(exited unexpectedly|killed by signal)|Pin memory thread exited")


def explained(error: BaseException) -> str | None:
    """The error on one line, the file first where one is to blame; None where the error is a bug of this program."""
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
    """The operating system's error behind an error, if any; libraries in Rust write its number at the end."""
    if isinstance(error, OSError):
        return error
    found = re.search(r"\(os error (\d+)\)", str(error))
    if found is None or isinstance(error, ValueError):
        return None
    return OSError(int(found[1]), os.strerror(int(found[1])))


def out_of_memory(error: BaseException) -> bool:
    """Whether memory is short, of the machine or of the GPU."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    return isinstance(error, MemoryError) or said or _is(error, "OutOfMemoryError")


def machine_failed(error: BaseException) -> bool:
    """Whether the machine is to blame for what went wrong with a file, and not what the file holds.

    Decoders raise OSError without a number, and seek to where a damaged file has nothing.
    """
    return out_of_memory(error) or (isinstance(error, OSError) and error.errno not in (None, errno.EINVAL))


@contextmanager
def advising(advice: str) -> Iterator[None]:
    """Let an error for want of memory say what takes less."""
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
    if "\nOriginal Traceback" in text:  # of a data worker; the message stands at its end, behind the type
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return " ".join(text.split())


def _is(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(error).__mro__)


def printable(text: str) -> str:
    """Text from outside, quoted and escaped where it holds line ends, control characters or undecodable bytes."""
    return text if text.isprintable() else ascii(text)
