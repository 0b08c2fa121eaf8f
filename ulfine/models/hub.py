"""Files of the Hugging Face hub: from its cache, else downloaded; without a network, what is missing and what to do."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from ulfine.data.download import fetch as download
from ulfine.errors import NO_ROOM
from ulfine.files import sha256

TEXT_FILES = ("*.json", "*.txt", "*.model")  # configuration and tokenizer of a text tower
SHA256 = "[0-9a-f]{64}"
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
                if not offline:
                    _place(repository, name, revision)
                found = Path(hf_hub_download(repository, name, revision=revision, local_files_only=offline))
            except LocalEntryNotFoundError:
                if not offline:
                    raise ValueError(
                        f"{_missing(repository, ' or '.join(names), names[0], revision)}, {BY_HAND}"
                    ) from None
            except EntryNotFoundError:
                continue
            except Exception as error:  # what a connection raises is that of the HTTP library below
                raise _refused(repository, error) from None
            else:
                _require_whole(found)
                return found
    raise ValueError(f"https://huggingface.co/{repository} has no {' or '.join(names)}")


def _place(repository: str, name: str, revision: str | None) -> None:
    """Download a large file to where `hf_hub_download` then finds it, and go on where an earlier run was cut off.

    huggingface_hub 2 keeps nothing of a download that broke.
    """
    try:
        about = get_hf_file_metadata(hf_hub_url(repository, name, revision=revision))
    except Exception:  # no such file, no network and the like: hf_hub_download tells them apart
        return
    if re.fullmatch(SHA256, about.etag or ""):
        folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
        download([about.location], folder / "blobs" / about.etag, about.etag, sha256)


def text_files(repository: str, revision: str | None) -> Path:
    """A folder with the configuration and the tokenizer of a text tower: of the cache where it holds them all.

    Raises:
        ValueError: they are neither here nor to be had, or one is damaged.
    """
    folder = _snapshot(repository, revision, offline=True)
    if folder is None or not _listed(folder):
        folder = _snapshot(repository, revision, offline=False)
    if folder is None:
        include = " ".join(f'--include "{pattern}"' for pattern in TEXT_FILES)
        raise ValueError(_missing(repository, "configuration and tokenizer", include, revision))
    for path in sorted(path for pattern in TEXT_FILES for path in folder.glob(pattern)):
        _require_whole(path)
    return folder


def _snapshot(repository: str, revision: str | None, offline: bool) -> Path | None:
    try:
        found = snapshot_download(
            repository, revision=revision, allow_patterns=list(TEXT_FILES), local_files_only=offline
        )
    except LocalEntryNotFoundError:
        return None
    except Exception as error:  # as above
        raise _refused(repository, error) from None
    return Path(found)


def _listed(folder: Path) -> bool:
    """Whether the cache knows what the repository holds, and so that nothing of it is missing in `folder`."""
    return (folder.parents[1] / "trees" / f"{folder.name}.json").exists()


def revision(path: Path) -> str | None:
    """The commit of a file or a folder in the cache; None for others."""
    found = re.search(r"/snapshots/([0-9a-f]{40})(/|$)", path.as_posix())
    return found[1] if found else None


def _require_whole(path: Path) -> None:
    """Refuse a damaged download: the cache names a large file by its sha256, a small one by git's hash."""
    blob = path.resolve()
    if re.fullmatch(SHA256, blob.name):
        kind, found = "sha256", sha256(blob)
    elif re.fullmatch("[0-9a-f]{40}", blob.name):
        content = blob.read_bytes()
        kind, found = (
            "git's hash",
            hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest(),
        )
    else:
        return
    if blob.name != found:
        raise ValueError(f"{blob}: its {kind} is {found}, not its name: a damaged download; delete it and run again")


def _missing(repository: str, what: str, arguments: str, revision: str | None) -> str:
    arguments += f" --revision {revision}" if revision else ""
    reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "no network"
    return (
        f"{what} of https://huggingface.co/{repository}: not in the cache {constants.HF_HUB_CACHE} (HF_HUB_CACHE, or "
        f"hub/ in HF_HOME), and {reason}; run `hf download {repository} {arguments}` where there is a network and copy "
        "the cache here"
    )


def _refused(repository: str, error: Exception) -> ValueError | OSError:
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        error.filename = error.filename or constants.HF_HUB_CACHE
        return error
    return ValueError(f"https://huggingface.co/{repository}: {type(error).__name__}: {error}")
