"""Models by name and hash: every worker must use the very file that the client has looked at."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from geolulc.errors import CheckpointError
from geolulc.nets import Model, load_checkpoint


@dataclass(frozen=True)
class ModelFile:
    """A checkpoint as workers find it.

    Attributes:
        name: an absolute path, or the name of a shipped or published model.
        sha256: of the file.
        band_order: as of ``load_checkpoint``.
        task: of the network: "patch" or "pixel".
    """

    name: str
    sha256: str
    band_order: str | None = None
    task: str = "patch"

    @classmethod
    def of(cls, path: Path | str, *, band_order: str | None = None) -> ModelFile:
        """The one that ``load_checkpoint`` finds here; ``CheckpointError`` as it raises."""
        model = load_checkpoint(path, band_order=band_order)
        given = Path(path)
        name = str(given.absolute()) if given.exists() else str(path)
        return cls(name, model.sha256, band_order, model.net.task)

    def load(self) -> Model:
        """The model; ``CheckpointError`` where it is not the same file."""
        host = socket.gethostname()
        try:
            model = load_checkpoint(self.name, band_order=self.band_order)
        except CheckpointError as error:
            raise CheckpointError(
                f"{self.name} on worker {host}",
                found=error.found,
                expected="the checkpoint that the client has",
                remedy="Put it under the same path on every machine, or on a shared file system.",
            ) from error
        if model.sha256 != self.sha256:
            raise CheckpointError(
                f"{self.name} on worker {host}",
                found=f"another file (sha256 {model.sha256[:12]})",
                expected=f"sha256 {self.sha256[:12]}, as the client has",
                remedy="Copy the client's file to every machine.",
            )
        return model
