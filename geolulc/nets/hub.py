"""Files from the Hugging Face hub, through its own client (the extra ``hub``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geolulc.errors import CheckpointError
from geolulc.nets.safetensors_files import hash_file


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
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )
    except ImportError as error:
        raise CheckpointError(
            subject,
            found="no huggingface_hub in this environment",
            expected="the extra that downloads models",
            remedy="pip install 'geolulc[hub]', or download the files and give their folder.",
        ) from error
    try:
        path = Path(hf_hub_download(repository, file, revision=revision))
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            subject,
            found="it is not in the local cache and the hub cannot be reached",
            expected="a connection to the hub for the first use",
            remedy="Connect once, or copy the files here and give their folder.",
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointError(
            subject,
            found=f"the hub refused ({first})",
            expected="a public file of that name",
            remedy="Check the name; geolulc models lists those that are known.",
        ) from error
    if sha256 and not hash_file(path).startswith(sha256):
        raise CheckpointError(
            path,
            found=f"checksum {hash_file(path)[:12]}…",
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


def is_hub_name(text: str, known: Mapping[str, object]) -> bool:
    """True for what can only be "owner/name" of the hub: known, or no path that exists."""
    parts = text.split("/")
    return text in known or (
        len(parts) == 2
        and all(p and p not in (".", "..") and not p.startswith("~") for p in parts)
        and not Path(text).exists()
        and not Path(parts[0]).exists()
    )
