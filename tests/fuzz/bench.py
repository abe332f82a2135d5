"""Makes the sound input of a kind once, and from it damaged cases, each by its seed."""

from __future__ import annotations

import random
import shlex
import shutil
from pathlib import Path

from execution import CLEAR, FINE, WRONG, Outcome, run_command
from kinds import KINDS, damage_one
from mutations import ARGUMENTS


class Bench:
    """One kind's sound input, its results, and the last case, in the folders of ``folder``."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.kind = name, KINDS[name]
        self._made, self.case = folder / "made", folder / "case"
        self._folder = folder

    def make(self) -> None:
        """Make the sound input."""
        self._made.mkdir(parents=True)
        self.kind.make(self._made)

    def attempt(self, seed: int) -> Outcome:
        """Run the case of ``seed``. ``case`` has its input, its results, and how it was made."""
        rng = random.Random(f"{self.name} {seed}")
        command = rng.choice(self.kind.commands)
        case = self._copy(self.case)
        arguments, damaged = command.split(), "nothing"
        if self.kind.options and (not self.kind.damaged or rng.random() < 0.5):
            option, value = rng.choice(self.kind.options), rng.choice(ARGUMENTS)
            arguments += [part.replace("{}", value) for part in option.split()]
        else:
            damaged = str(damage_one(self.kind, case, rng).relative_to(case))
        how = f"{self.name} {seed}: {damaged}\ngeolulc {shlex.join(arguments)}\n"
        (case / "how.txt").write_text(how, encoding="utf-8", errors="surrogateescape")
        before = {path.name for path in case.iterdir()}
        outcome = self._run(arguments, case)
        if outcome.name == FINE:
            wrong = self.kind.wrong(self.sound(command), case, command)
            return Outcome(WRONG, wrong) if wrong else outcome
        left = sorted(p.name for p in case.glob("out.*") if p.name not in before)
        if outcome.name == CLEAR and left:
            return Outcome(WRONG, f"an error, and yet there is {', '.join(left)}")
        return outcome

    def sound(self, command: str) -> Path:
        """The folder of the sound input's results; an error where there are none."""
        target = self._folder / f"sound-{self.kind.commands.index(command)}"
        if not target.is_dir():
            outcome = self._run(command.split(), self._copy(target))
            if outcome.name != FINE:
                raise RuntimeError(f"{self.name}, undamaged: {outcome}")
        return target

    def _run(self, arguments: list[str], case: Path) -> Outcome:
        with self.kind.served(case) as url:
            return run_command([part.replace("{url}", url) for part in arguments], case)

    def _copy(self, target: Path) -> Path:
        shutil.rmtree(target, ignore_errors=True)
        return shutil.copytree(self._made, target)
