"""How an error is told to a user."""


def explained(error: ValueError | OSError) -> str:
    """The error on one line, the file first where one is to blame."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def printable(text: str) -> str:
    """Text from outside, quoted and escaped where it holds line ends, control characters or undecodable bytes."""
    return text if text.isprintable() else ascii(text)
