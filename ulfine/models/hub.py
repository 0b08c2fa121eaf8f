"""Files of the Hugging Face hub: from its cache, else downloaded; without a network, what is missing and what to do."""

import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

TEXT_FILES = ("*.json", "*.txt", "*.model")  # configuration and tokenizer of a text tower
AGAIN = "if it is in the cache, download it again (`hf download`)"
BY_HAND = "or place the files and name them (pretrained: FILE, or model: local-dir:FOLDER)"


def file(repository: str, names: Sequence[str], revision: str | None) -> Path:
    """The first of `names` that the cache holds, else the first that the repository has, downloaded.

    Raises:
        ValueError: it is neither here nor to be had.
    """
    for offline in (True, False):
        for name in names:
            try:
                return Path(hf_hub_download(repository, name, revision=revision, local_files_only=offline))
            except LocalEntryNotFoundError:
                if not offline:
                    raise ValueError(
                        f"{_missing(repository, ' or '.join(names), names[0], revision)}, {BY_HAND}"
                    ) from None
            except EntryNotFoundError:
                continue
            except Exception as error:  # what a connection raises is that of the HTTP library below
                raise _refused(repository, error) from None
    raise ValueError(f"https://huggingface.co/{repository} has no {' or '.join(names)}")


def text_files(repository: str, revision: str | None) -> Path:
    """A folder with the configuration and the tokenizer of a text tower.

    Raises:
        ValueError: they are neither here nor to be had.
    """
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(TEXT_FILES)))
    except LocalEntryNotFoundError:
        include = " ".join(f'--include "{pattern}"' for pattern in TEXT_FILES)
        raise ValueError(_missing(repository, "configuration and tokenizer", include, revision)) from None
    except Exception as error:  # as above
        raise _refused(repository, error) from None


def revision(path: Path) -> str | None:
    """The commit of a file in the cache; None for other files."""
    found = re.search(r"/snapshots/([0-9a-f]{40})/", path.as_posix())
    return found[1] if found else None


def require_whole(path: Path, found: str) -> None:
    """Refuse a damaged download: the cache names a large file by the sha256 that it should have.

    found: the hash that it has.
    """
    blob = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", blob.name) and blob.name != found:
        raise ValueError(f"{blob}: its sha256 is {found}, not its name: a damaged download; delete it and run again")


def _missing(repository: str, what: str, arguments: str, revision: str | None) -> str:
    arguments += f" --revision {revision}" if revision else ""
    reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "no network"
    return (
        f"{what} of https://huggingface.co/{repository}: not in the cache {constants.HF_HUB_CACHE} (HF_HUB_CACHE, or "
        f"hub/ in HF_HOME), and {reason}; run `hf download {repository} {arguments}` where there is a network and copy "
        "the cache here"
    )


def _refused(repository: str, error: Exception) -> ValueError:
    return ValueError(f"https://huggingface.co/{repository}: {type(error).__name__}: {error}")
