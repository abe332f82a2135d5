"""The settings of a transfer experiment. No torch here."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from geolulc.errors import ParameterError
from geolulc.learning.config import TrainConfig
from geolulc.validated import STRICT, Validated

#: Remedies, in the order in which their names are joined.
REMEDIES: Final = ("mask", "prior", "balanced")


_Natural = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=STRICT)
class TransferConfig(Validated):
    """A transfer experiment.

    Attributes:
        sources, targets: names of regions.
        target_sizes: numbers of target patches to fine-tune with; 0 is zero-shot.
        fine_tuning: of "head" (the last layer), "full", "linear-probe-first" (the head for half
            of the epochs, then everything; Kumar et al. 2022).
        validate_on: the region whose val split chooses the epoch and calibrates: "source" or
            "target". Fine-tuning validated on the source keeps its last epoch: the best one
            there would be the least adapted.
        remedies: names of ``Remedy``, compared.
        pooled: train on all sources together too: "without-target" leaves the target out where
            it is a source, "all" does not, "none" does not pool.
        seeds: everything is repeated with each.
        training: settings of every training.
        fine_tune_epochs: 0 for those of ``training``.
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
    fine_tune_epochs: _Natural = 0
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
        if any("prior" in r for r in self.remedies) and self.training.label_correlation == "on":
            raise refuse_prior("label_correlation=on")
        return self

    def adapting(self, mode: str) -> list[tuple[TrainConfig, bool]]:
        """The trainings of fine-tuning ``mode`` ("scratch" too): settings, head alone or not."""
        plain = self.training
        epochs = self.fine_tune_epochs or plain.epochs
        select = "last" if self.validate_on == "source" else plain.select
        if mode == "scratch":
            # from fresh weights, as a source is trained, but validated as fine-tuning is
            return [(plain.changed({"select": select}), False)]
        head = {"epochs": epochs, "select": select}
        full = head | {"learning_rate": self.fine_tune_rate or plain.learning_rate / 10}
        if mode == "head":
            return [(plain.changed(head), True)]
        if mode == "full":
            return [(plain.changed(full), False)]
        first = {"epochs": max(epochs // 2, 1), "select": "last"}
        rest = {"epochs": max(epochs - epochs // 2, 1)}
        return [(plain.changed(head | first), True), (plain.changed(full | rest), False)]


def refuse_prior(found: str) -> ParameterError:
    """The error of the remedy "prior" where something stands behind the head."""
    return ParameterError(
        "remedy prior",
        found=found,
        expected="a head whose bias is the last word",
        remedy="Set label_correlation=off, or leave the remedy out.",
    )
