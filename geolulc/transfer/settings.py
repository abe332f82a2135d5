"""The settings of a transfer experiment. No torch here."""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from geolulc.errors import ParameterError
from geolulc.learning.config import TrainConfig
from geolulc.validated import STRICT, Validated

#: Remedies, in the order in which their names are joined.
REMEDIES: Final = ("mask", "prior", "balanced")


_SMALLEST_BATCH: Final = 8
_Natural = Annotated[int, Field(ge=0)]


class Phase(NamedTuple):
    """A training of fine-tuning: settings, optimiser steps, and whether the head learns alone."""

    settings: TrainConfig
    steps: int
    head_only: bool = False

    def spread(self, patches: int) -> tuple[TrainConfig, int]:
        """Settings, and patches an epoch, that take ``steps`` steps on so many ``patches``.

        Few patches are repeated within an epoch: validation after every pass over a hundred would
        take longer than all training. More than the steps need are seen in fewer epochs.
        """
        plain = self.settings
        # at least eight where there are, for batch statistics
        most = min(plain.batch_size, max(patches // 4, min(patches, _SMALLEST_BATCH)))
        batch = max(most // plain.accumulate, 1) * plain.accumulate
        epochs = min(plain.epochs, max(self.steps * batch // patches, 1), self.steps)
        changed = {
            "batch_size": batch,
            "epochs": epochs,
            "warmup_epochs": min(plain.warmup_epochs, epochs / 4),
        }
        return plain.changed(changed), round(self.steps / epochs) * batch


@dataclass(frozen=True, config=STRICT)
class TransferConfig(Validated):
    """A transfer experiment.

    Attributes:
        sources, targets: names of regions.
        target_sizes: numbers of target patches to fine-tune with; 0 is zero-shot.
        fine_tuning: of "head" (the last layer), "full", "linear-probe-first" (the head for half
            of the steps, then everything; Kumar et al. 2022).
        validate_on: the region whose val split chooses the epoch and calibrates: "source" or
            "target". Fine-tuning validated on the source keeps its last epoch: the best one
            there would be the least adapted.
        remedies: names of ``Remedy``, compared.
        pooled: train on all sources together too: "without-target" leaves the target out where
            it is a source, "all" does not, "none" does not pool.
        seeds: everything is repeated with each.
        training: settings of every training.
        fine_tune_steps: optimiser steps of fine-tuning and of training from scratch, the same for
            any number of patches and any way, in about as many epochs as ``training`` has; a
            batch is at most a quarter of the patches.
        fine_tune_rate: learning rate of the whole network in fine-tuning; 0 for a tenth of
            ``training``'s. The head alone and training from scratch take ``training``'s.
        keep_models: keep fine-tuned models too (those of sources are always kept).

    Raises:
        ParameterError: a value outside its choices or range.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    target_sizes: tuple[_Natural, ...] = (0,)
    fine_tuning: tuple[Literal["head", "full", "linear-probe-first"], ...] = ("full",)
    validate_on: Literal["source", "target"] = "source"
    remedies: tuple[str, ...] = ("none",)
    pooled: Literal["without-target", "all", "none"] = "without-target"
    seeds: tuple[_Natural, ...] = (0,)
    training: TrainConfig = Field(default_factory=TrainConfig)
    fine_tune_steps: Annotated[int, Field(ge=1)] = 500
    fine_tune_rate: Annotated[float, Field(ge=0)] = 0.0
    keep_models: bool = False

    @model_validator(mode="after")
    def _require_experiment(self) -> Self:
        for name in ("sources", "targets", "target_sizes", "fine_tuning", "remedies", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                found = ", ".join(map(str, values)) or "nothing"
                expected = "one value or more, each once"
                raise ParameterError(
                    name, found=found, expected=expected, remedy="Correct the list."
                )
        if self.training.task != "patch":
            remedy = "Transfer is measured on models of patches."
            raise ParameterError("task", found=self.training.task, expected="patch", remedy=remedy)
        if self.training.steps:
            raise ParameterError(
                "steps",
                found=self.training.steps,
                expected="0: epochs are shared among the trainings of an experiment",
                remedy="Set epochs, and fine_tune_steps.",
            )
        behind = {"label_correlation": "off", "geographic_prior": ""}
        for name, off in behind.items() if any("prior" in r for r in self.remedies) else ():
            if getattr(self.training, name) != off:
                raise refuse_prior(f"{name}={getattr(self.training, name)}")
        return self

    def adapting(self, mode: str) -> list[Phase]:
        """The trainings of fine-tuning ``mode``; "scratch" too."""
        plain, steps = self.training, self.fine_tune_steps
        select = "last" if self.validate_on == "source" else plain.select
        if mode == "scratch":
            # from fresh weights, as a source is trained, but validated as fine-tuning is
            return [Phase(plain.changed({"select": select}), steps)]
        head = {"select": select}
        full = head | {"learning_rate": self.fine_tune_rate or plain.learning_rate / 10}
        if mode == "head":
            return [Phase(plain.changed(head), steps, head_only=True)]
        if mode == "full":
            return [Phase(plain.changed(full), steps)]
        epochs = {"epochs": max(plain.epochs // 2, 1)}
        first, rest = max(steps // 2, 1), max(steps - steps // 2, 1)
        return [
            Phase(plain.changed(epochs | {"select": "last"}), first, head_only=True),
            Phase(plain.changed(full | epochs), rest),
        ]


def refuse_prior(found: str) -> ParameterError:
    """The error of the remedy "prior" where something stands behind the head."""
    return ParameterError(
        "remedy prior",
        found=found,
        expected="a head whose bias is the last word",
        remedy="Set label_correlation=off and no geographic_prior, or leave the remedy out.",
    )
