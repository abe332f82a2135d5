"""Patches whose targets are what another model, the teacher, says of every pixel.

Hinton, Vinyals and Dean (2015): the probabilities of a large model tell a small one more than
labels would. The teacher also sees each patch in other light (``views``): the more of what could
be there it has judged, the better it is imitated where nobody has been (Beyer et al. 2022). What
it says is computed once, into a file of the cache, which later runs and epochs read.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from geolulc.cache import cache_folder
from geolulc.datasets import Store
from geolulc.datasets.domain import centres
from geolulc.datasets.loader import Batch
from geolulc.errors import ParameterError, TrainingError
from geolulc.learning.augmentation import Inputs
from geolulc.learning.config import TrainConfig
from geolulc.learning.light import Light, in_light
from geolulc.learning.patches import SplitPatches
from geolulc.maps.encoding import FULL
from geolulc.nets import Model
from geolulc.nets.network import valid_pixels
from geolulc.nets.turns import turned, turned_back
from geolulc.nomenclature import IGNORED, Nomenclature
from geolulc.ownership import ANY
from geolulc.products.atmosphere import air_of
from geolulc.products.directions import Direction
from geolulc.products.sun import sun_zenith
from geolulc.progress import Progress
from geolulc.staging import explained, staged

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 8
#: Of a patch without a time, in degrees: about the mean of land in Sentinel-2's morning.
USUAL_ZENITH: Final = 45.0
#: Levels of a teacher and of what it sees: the way through the air is known upwards only.
_SEEN: Final = (("L1C", "L1C"), ("L2A", "L2A"), ("L1C", "L2A"))
#: A pixel whose most probable class has this probability is one that the teacher is sure of.
SURE: Final = 0.6


class TaughtPatches(SplitPatches):
    """The patches of a split with the probabilities of a teacher as their targets.

    Attributes:
        teacher: a model of pixels.
        views: changes of light (``Light``) that the teacher saw each patch in; the first is none.
        soft: uint8 (views, n, classes, 120, 120), probabilities in steps of 1 / ``FULL``; 0 in
            all classes where a band has no data.
        targets: float32 (n, classes): 1 where a pixel's most probable class is this one.
    """

    def __init__(
        self,
        store: Store,
        split: str,
        indices: NDArray[np.int64] | None = None,
        *,
        teacher: Model,
        sight: Store | None = None,
        views: int = 1,
        seed: int = 0,
        device: torch.device,
        progress: Progress | None = None,
    ) -> None:
        """Ask the teacher, or find in the cache what it said.

        ``sight``: a store whose patches it sees in place of those of the same ground.
        """
        super().__init__(store, split, indices)
        require_teacher(teacher, store)
        self.teacher = teacher
        self._sight = store if sight is None else sight
        self._twins = np.full(len(self), -1) if sight is None else _twins(self, sight, teacher)
        self.seed = seed
        self.views = [self._view(number) for number in range(views)]
        self.soft = self._taught(device, progress)
        self.targets = np.zeros((len(self), len(teacher.net.classes)), np.float32)
        for place in range(len(self)):
            found = self.truths(np.array([place]))
            self.targets[place, np.unique(found[found != IGNORED])] = 1

    @property
    def classes(self) -> tuple[str, ...]:
        """The teacher's, in its order."""
        return self.teacher.net.classes

    @property
    def nomenclature(self) -> Nomenclature:
        """The teacher's."""
        return self.teacher.net.nomenclature

    @property
    def origin(self) -> dict[str, Any]:
        """The teacher, and what is known of it."""
        known = {k: v for k, v in self.teacher.provenance.items() if isinstance(v, str)}
        return {"teacher": {"name": self.teacher.name, "sha256": self.teacher.sha256, **known}}

    @cached_property
    def pixel_shares(self) -> NDArray[np.float32]:
        """Mean probability of each class, float32 (C,)."""
        sums = sum(one.sum(axis=(1, 2), dtype=np.int64) for one in self.soft[0])
        return np.asarray(sums / max(int(np.sum(sums)), 1), np.float32)

    def identity(self) -> str:
        """Number of patches and a hash of their pixels, the teacher and its views."""
        return f"{len(self)} patches, {self._fingerprint[:12]}"

    def light(self, config: TrainConfig, epoch: int) -> Light:
        """That of each patch's view in an epoch, and then what ``config`` asks for."""
        chosen, rows = self._chosen(epoch), np.arange(len(self))
        gain, path = (
            np.stack([getattr(view, name) for view in self.views])[chosen, rows]
            for name in ("gain", "path")
        )
        own = super().light(config, epoch)
        drawn = Light(gain, path, self.views[0].names)
        return drawn if own is None else drawn.then(own)

    def lessons(self, batch: Batch, epoch: int) -> Tensor:
        """What the teacher says of a batch in the views of an epoch, float32 (N, C, 120, 120)."""
        places = self.places(batch)
        said = self.soft[self._chosen(epoch)[places], places]
        return torch.from_numpy(said).float().div_(FULL)

    def _chosen(self, epoch: int) -> NDArray[np.int64]:
        """The view of each patch in an epoch, (n,)."""
        random = np.random.default_rng([self.seed, epoch, 0x7EAC])
        return random.integers(0, len(self.views), len(self)).astype(np.int64)

    def truths(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The most probable class of each pixel, uint8 (N, 120, 120); 255 without data."""
        found = np.empty((len(places), *self.store.layout.reference_shape), np.uint8)
        for row, place in enumerate(places):
            said = self.soft[0, place]
            found[row] = np.where(said.any(axis=0), said.argmax(axis=0), IGNORED)
        return found

    def truth(self, batch: Batch) -> Tensor:
        """The most probable class of each pixel of a batch."""
        return torch.from_numpy(self.truths(self.places(batch)))

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.teacher.sha256} {len(self.views)} {self.seed} 2".encode())
        digest.update(self.store.pixel_hashes[self.indices].tobytes())
        digest.update(np.array(self._zeniths).tobytes())
        digest.update(self._sight.pixel_hashes[self._twins[self._twins >= 0]].tobytes())
        return digest.hexdigest()

    def _view(self, number: int) -> Light:
        random = np.random.default_rng([self.seed, number, 0x11E8])
        return Light.draw(random, len(self), self.store.layout.sensor, 1.0 if number else 0.0)

    @cached_property
    def _zeniths(self) -> list[float]:
        """The sun's zenith angle over each patch, in degrees."""
        found = list(_suns(self.store, self.indices))
        if missing := sum(math.isnan(zenith) for zenith in found):
            _LOG.warning(
                "%s: %d of %d patches have no time: the sun is taken to stand %g° from the zenith",
                *(self.store.path, missing, len(found), USUAL_ZENITH),
            )
        return [USUAL_ZENITH if math.isnan(zenith) else zenith for zenith in found]

    def _taught(self, device: torch.device, progress: Progress | None) -> NDArray[np.uint8]:
        shape = (
            len(self.views),
            len(self),
            len(self.teacher.net.classes),
            *self.store.layout.reference_shape,
        )
        file = cache_folder() / "teachers" / f"{self._fingerprint[:32]}.npy"
        if not file.is_file() and len(self):
            with explained(file.parent):
                file.parent.mkdir(parents=True, exist_ok=True)
            with staged([file], overwrite=ANY) as (partial,):
                fresh = open_memmap(partial, "w+", np.uint8, shape)
                self._ask(fresh, device, progress)
                fresh.flush()
        if not len(self):
            return np.empty(shape, np.uint8)
        said: NDArray[np.uint8] = np.load(file, mmap_mode="r", allow_pickle=False)
        if said.shape != shape or said.dtype != np.uint8:
            raise TrainingError(
                file,
                found=f"{said.dtype} of {said.shape}",
                expected=f"what a teacher said: uint8 of {shape}",
                remedy="Delete the file; it is made again.",
            )
        return said

    @torch.inference_mode()
    def _ask(
        self, said: NDArray[np.uint8], device: torch.device, progress: Progress | None
    ) -> None:
        net = self.teacher.net.to(device)
        done, total = 0, len(self) * len(self.views)
        for batch in self.loader(_AT_ONCE, device=device, bands=net.bands):
            places = self.places(batch)
            own = [group.to(torch.int32) for group in batch.groups_on(device)]
            shown = self._shown(own, places)
            seen, resolutions = net.preprocess(*shown), tuple(net.bands)
            known = valid_pixels(own, resolutions)[0] & valid_pixels(shown, resolutions)[0]
            for number, view in enumerate(self.views):
                # another of the eight turns a view: what is learned is near their mean
                turn = number % 8
                groups = self._above(in_light(net, seen, view.of(places)), places)
                logits = net.classify(*(turned(x, turn).contiguous() for x in groups))
                p = turned_back(self.teacher.probabilities(logits), turn)
                p = p.mul(FULL).round() * known[:, None]
                said[number, places] = p.to(torch.uint8).cpu().numpy()
                done += len(places)
                if progress is not None:
                    progress(done, total)

    def _above(self, groups: Inputs, places: NDArray[np.int64]) -> Inputs:
        """What a teacher of Level-1C sees of Level-2A: the computed top of the atmosphere."""
        net = self.teacher.net
        if net.level == self.store.level:
            return groups
        suns = [None if self._twins[p] >= 0 else Direction(self._zeniths[p]) for p in places]
        airs = [None if sun is None else air_of(net.band_names, sun) for sun in suns]
        return net.with_reflectance(
            groups,
            lambda name, x: torch.stack(
                [y if a is None else a[name].seen(y) for a, y in zip(airs, x, strict=True)]
            ),
        )

    def _shown(self, own: list[Tensor], places: NDArray[np.int64]) -> list[Tensor]:
        """The pixels of a batch, int32, or those of its twins."""
        shown, bands = [group.clone() for group in own], self.teacher.net.bands
        groups = self.store.layout.sensor.groups
        for row, twin in enumerate(self._twins[places].tolist()):
            if twin < 0:
                continue
            dn = self._sight.read(twin).dn
            for group, (resolution, names) in zip(shown, bands.items(), strict=True):
                order = [groups[resolution].index(name) for name in names]
                group[row] = torch.from_numpy(dn[resolution][order].astype(np.int32))
        return shown


def require_teacher(teacher: Model, store: Store) -> None:
    """``ParameterError`` for a model that says nothing of pixels, or not of those of ``store``."""
    if teacher.net.task != "pixel":
        raise ParameterError(
            f"teacher {teacher.name}",
            found="a model of patches",
            expected="a model of pixels, such as dynamicworld",
            remedy="geolulc models lists what there is.",
        )
    if teacher.net.layout.sensor != store.layout.sensor:
        raise ParameterError(
            f"teacher {teacher.name}",
            found=f"a model of the sensor {teacher.net.sensor.id}",
            expected=f"one of {store.layout.sensor.id}, as the patches are",
            remedy="Take another teacher.",
        )
    if (teacher.net.level, store.level) not in _SEEN:
        raise ParameterError(
            f"teacher {teacher.name}",
            found=f"a model of Level-{teacher.net.level[1:]} for patches of {store.level[1:]}",
            expected="one of the same level; of Level-1C it may see Level-2A",
            remedy="Take another teacher, or a store of Level-2A.",
        )


def _twins(patches: SplitPatches, sight: Store, teacher: Model) -> NDArray[np.int64]:
    """The position in ``sight`` of the patch on each one's ground, (n,); -1 without.

    Raises:
        ParameterError: it is of another level than the teacher, or has no such patch.
    """

    def corners(store: Store, indices: NDArray[np.int64]) -> list[tuple[Any, ...]]:
        columns = [store.column(name) for name in ("crs", "left", "top")]
        return [tuple(column[i] for column in columns) for i in indices]

    at = {corner: i for i, corner in enumerate(corners(sight, np.arange(len(sight))))}
    found = np.array([at.get(c, -1) for c in corners(patches.store, patches.indices)], np.int64)
    if sight.level != teacher.net.level:
        raise ParameterError(
            f"teacher_store {sight.path}",
            found=f"Level-{sight.level[1:]}",
            expected=f"Level-{teacher.net.level[1:]}, which {teacher.name} was trained on",
            remedy="Prepare one from products of that level.",
        )
    if len(found) and patches.split == "train" and (found < 0).all():
        raise ParameterError(
            f"teacher_store {sight.path}",
            found="no patch on the ground of a train patch",
            expected="patches cut from the same corners",
            remedy="Prepare both stores from products of the same tiles.",
        )
    return found


def _suns(store: Store, indices: NDArray[np.int64]) -> Iterator[float]:
    """The sun's zenith angle over patches in degrees; NaN for one without a date."""
    dates = store.column("date")
    for index, (longitude, latitude) in zip(indices, centres(store, indices), strict=True):
        date = dates[index]
        if not date:
            yield math.nan
            continue
        time = datetime.fromisoformat(date)
        if "T" not in date:  # Sentinel-2 comes at half past ten of the sun's time
            time += timedelta(hours=10.5 - longitude / 15)
        yield sun_zenith(time, longitude, latitude)
