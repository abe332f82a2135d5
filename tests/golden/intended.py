"""Differences from the frozen outcome that are meant, each with its reason.

Case (or a pattern of cases) → pattern of a key path, as a failing test prints it → why. Patterns
are those of ``fnmatch``. All of it goes when the outcome is frozen again.
"""

from __future__ import annotations

INTENDED: dict[str, dict[str, str]] = {}
