"""Whatever the plugin passes to a command, the command takes: read from the plugin's own source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest
from geolulc_plugin import environment

from geolulc.cli import COMMANDS, cli
from geolulc.nets.catalogue import list_models

_SOURCES = [
    ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(Path(environment.__file__).parent.glob("*.py"))
]
_DEFINED = {
    node.name: node
    for source in _SOURCES
    for node in source.body
    if isinstance(node, ast.ClassDef | ast.FunctionDef)
}


def _texts(name: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """The words in the texts of a class or function, of its bases, and of what it calls."""
    node = _DEFINED.get(name)
    if node is None or name in seen:
        return set()
    parts = list(ast.walk(node))
    found = {
        word
        for part in parts
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
        for word in part.value.split()
    }
    used = [*getattr(node, "bases", []), *(p.func for p in parts if isinstance(p, ast.Call))]
    others = {part.id for part in used if isinstance(part, ast.Name)}
    return found.union(*(_texts(other, seen | {name}) for other in others))


def _runs(name: str) -> set[str]:
    """The commands that the algorithm ``name`` runs: first words of lists of arguments."""
    node = _DEFINED[name]
    found = {
        part.elts[0].value
        for part in ast.walk(node)
        if isinstance(part, ast.List) and part.elts and isinstance(part.elts[0], ast.Constant)
    }
    bases = [b.id for b in node.bases if isinstance(b, ast.Name) and b.id in _DEFINED]
    return (found & set(COMMANDS)).union(*map(_runs, bases))


def _bases(node: ast.ClassDef) -> set[str]:
    names = {base.id for base in node.bases if isinstance(base, ast.Name)}
    return names.union(*(_bases(_DEFINED[n]) for n in names if n in _DEFINED))


#: Those that run a command with options; *Install* and *Status* run none.
ALGORITHMS = {
    name: commands
    for name, node in _DEFINED.items()
    if isinstance(node, ast.ClassDef)
    and not name.startswith("_")
    and "Algorithm" in _bases(node)
    and (commands := _runs(name))
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_commands_take_what_the_plugin_passes(algorithm: str) -> None:
    commands = [cli.get_command(click.Context(cli), name) for name in ALGORITHMS[algorithm]]
    taken = {
        option
        for command in commands
        if command is not None
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    passed = {word for word in _texts(algorithm) if re.fullmatch("--[a-z][a-z-]+", word)}
    assert {"--overwrite", "--progress", "--json"} <= passed
    assert passed <= taken, passed - taken


def test_all_algorithms_are_looked_at() -> None:
    assert set().union(*ALGORITHMS.values()) == {
        "map", "mosaic", "summarize", "compare", "sample", "assess", "label", "train"
    }  # fmt: skip


def test_models_are_listed_as_the_plugin_reads_them() -> None:
    models = [row for row in list_models() if row.get("task")]
    assert {row["task"] for row in models} >= {"patch", "pixel"}
    assert all(isinstance(row["name"], str) for row in models)
