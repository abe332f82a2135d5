"""Files from the Hugging Face hub, through its own client (the extra ``hub``)."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, Final

from geolulc.errors import CheckpointError
from geolulc.staging import file_sha256

#: Owners on the hub whose names alone say that a model is meant; hf://owner/name for others.
KNOWN_OWNERS: Final = frozenset({"BIFOLD-BigEarthNetv2-0", "hackelle"})


def fetch_file(
    repository: str, file: str, *, revision: str | None = None, sha256: str = ""
) -> Path:
    """Path of a file in the hub's local cache, downloaded if it is not there yet.

    Args:
        repository: "owner/name".
        file: its name there.
        revision: a commit; None for the newest.
        sha256: first digits of the checksum, where known.

    Raises:
        CheckpointError: the extra is not installed, the hub cannot be reached, there is no such
            file, or the checksum differs.
    """
    subject = f"{repository}/{file}"
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError as error:
        raise CheckpointError(
            subject,
            found="no huggingface_hub in this environment",
            expected="the extra that downloads models",
            remedy="pip install 'geolulc[hub]', or download the files and give their folder.",
        ) from error
    # its warnings of every retry would bury the one line that says what is wrong
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        path = Path(hf_hub_download(repository, file, revision=revision))
    except errors.LocalEntryNotFoundError as error:
        raise CheckpointError(
            subject,
            found="it is not in the local cache and the hub cannot be reached",
            expected="a connection to the hub for the first use",
            remedy="Connect once, or copy the files here and give their folder.",
        ) from error
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError, ValueError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointError(
            subject,
            found=f"the hub refused ({first})",
            expected="a public file of that name",
            remedy="Check the name; geolulc models lists those that are known.",
        ) from error
    if sha256 and not file_sha256(path).startswith(sha256):
        raise CheckpointError(
            path,
            found=f"checksum {file_sha256(path)[:12]}…",
            expected=f"{sha256}…",
            remedy="Remove the file and fetch it again.",
        )
    return path


def cached_file(repository: str, file: str) -> Path | None:
    """The newest copy in the hub's local cache; None without one or without the extra."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found: Any = try_to_load_from_cache(repository, file)
    return Path(found) if isinstance(found, str) else None


def hub_name(text: str) -> str | None:
    """The "owner/name" in ``text``, if it is no path: hf://owner/name, or a known owner."""
    match = re.fullmatch(r"(hf:/{1,2})?([\w.-]+/[\w.-]+)", text)
    if match is None or Path(text).exists():
        return None
    known = match[2].split("/")[0] in KNOWN_OWNERS
    return match[2] if match[1] or known else None


def fetch_snapshot(name: str, *, verify: bool = False) -> Path:
    """The local folder of "owner/name" on the hub, downloaded if it is not there yet.

    Args:
        name: of the repository.
        verify: compare the weights with the checksum that the hub publishes.

    Raises:
        CheckpointError: as ``fetch_file``.
    """
    checksum = _published_checksum(name, "model.safetensors") if verify else ""
    fetch_file(name, "config.json")
    return fetch_file(name, "model.safetensors", sha256=checksum).parent


def _published_checksum(repository: str, file: str) -> str:
    """SHA-256 that the hub lists for a large file; "" where it cannot be asked."""
    try:
        from huggingface_hub import HfApi

        info = HfApi().model_info(repository, files_metadata=True)
    except Exception:
        # no extra, no network, no such repository: fetch_file says which, in its words
        return ""
    entry = next((s for s in info.siblings or () if s.rfilename == file), None)
    return str(entry.lfs.sha256) if entry is not None and entry.lfs is not None else ""
