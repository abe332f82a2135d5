"""Signatures of the Planetary Computer, whose images are open to those who ask for one.

https://planetarycomputer.microsoft.com/docs/concepts/sas: a token for each container of storage,
valid for an hour or less. Its own client (planetary-computer 1.0) waits for them without end; this
is the one request. A signature is added where an address is asked, so that it stands nowhere else.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from geolulc.errors import RemoteError

_TOKENS: Final = "https://planetarycomputer.microsoft.com/api/sas/v1/token"
#: Storage that it signs for: those of Sentinel-2. Account and container are two groups.
_STORAGE: Final = re.compile(r"https://(sentinel2l2a01)\.blob\.core\.windows\.net/(sentinel2-l2)/")
#: What a token may consist of: the query of a URL.
_TOKEN: Final = re.compile(r"[\w%.~&=+/:,-]{10,2000}")
#: Seconds before its end at which a token is not used any more.
_MARGIN: Final = 60.0


class Signatures:
    """Signs addresses; each token is asked for once in its time."""

    def __init__(self, read_json: Callable[..., Any]) -> None:
        """``read_json``: asks a URL with ``headers``, as ``Client.read_json``."""
        self._read_json, self._lock = read_json, threading.Lock()
        self._tokens: dict[str, tuple[float, str]] = {}

    def signed(self, url: str) -> str:
        """``url``, signed if it is of the Planetary Computer's storage and is not yet.

        Raises:
            RemoteError: no token is given.
        """
        found = _STORAGE.match(url)
        if found is None or "?" in url:
            return url
        place = f"{found[1]}/{found[2]}"
        with self._lock:
            until, token = self._tokens.get(place, (0.0, ""))
            if time.time() > until - _MARGIN:
                until, token = self._tokens[place] = self._ask(place)
        return f"{url}?{token}"

    def _ask(self, place: str) -> tuple[float, str]:
        # the variables of its own client
        url = f"{os.environ.get('PC_SDK_SAS_URL') or _TOKENS}/{place}"
        key = os.environ.get("PC_SDK_SUBSCRIPTION_KEY")
        answer = self._read_json(url, headers={"Ocp-Apim-Subscription-Key": key} if key else {})
        try:
            token = str(answer["token"])
            end = datetime.fromisoformat(str(answer["msft:expiry"]))
            if _TOKEN.fullmatch(token):
                return (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp(), token
        except (KeyError, TypeError, ValueError, OverflowError):
            pass
        raise RemoteError(
            url, found="an answer without a token", expected="a signature for images",
            remedy="Run the same command again later.",
        )  # fmt: skip
