"""What a stranger reads is true: examples in every help, and commands of the pages that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import geolulc
from geolulc.cli import COMMANDS, cli

REPOSITORY = Path(geolulc.__file__).resolve().parents[1]
PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((REPOSITORY / "docs").glob("*.md")))]


def find(words: list[str]) -> click.Command | None:
    """The command, or the command of a group, that a line's first words name."""
    context = click.Context(cli)
    command = cli.get_command(context, words[0]) if words else None
    if isinstance(command, click.Group) and len(words) > 1:
        return command.get_command(context, words[1]) or command
    return command


def all_commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = find([name])
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", inner) for sub, inner in command.commands.items())


def require_real(line: str) -> None:
    """The command of ``line`` is there, and has the options that the line gives it."""
    # a comment ends a line; a shell's words come after the command
    words = shlex.split(line.split(" | ")[0], comments=True)
    at = words.index("geolulc") + 1
    if at == len(words) or words[at].startswith(("-", "…")):
        return
    command = find(words[at:])
    assert command is not None, line
    known = {option for parameter in command.params for option in (*parameter.opts,
             *parameter.secondary_opts)} | {"--help", "-h"}  # fmt: skip
    given = {word.split("=")[0] for word in words[at:] if re.match(r"--?[a-z]", word)}
    assert given <= known, f"{line}: {given - known}"


def lines_of(page: str) -> list[str]:
    """Lines of code in a page that run geolulc."""
    text = (REPOSITORY / page).read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"^ {4,}(?:\$ )?((?:[A-Z_]+=\S+ )?geolulc .*)$", text, re.MULTILINE)


@pytest.mark.parametrize(("name", "command"), [pytest.param(*c, id=c[0]) for c in all_commands()])
def test_every_help_has_an_example_that_is_real(name: str, command: click.Command) -> None:
    text = CliRunner().invoke(cli, [*name.split(), "--help"]).output.replace("\\\n", " ")
    examples = re.findall(r"^ {6}(geolulc .*)$", text, re.MULTILINE)
    assert re.search(r"^  Examples?:$", text, re.MULTILINE)
    assert any(example.startswith(f"geolulc {name}") for example in examples)
    for example in examples:
        require_real(example)


@pytest.mark.parametrize(("name", "command"), [pytest.param(*c, id=c[0]) for c in all_commands()])
def test_every_option_is_explained(name: str, command: click.Command) -> None:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert len(parameter.help or "") > 10, parameter.opts


@pytest.mark.parametrize(("name", "command"), [pytest.param(*c, id=c[0]) for c in all_commands()])
def test_every_value_has_a_name(name: str, command: click.Command) -> None:
    context = click.Context(command)
    values = {p.opts[0]: p.make_metavar(context) for p in command.params if p.opts[0][0] == "-"}
    assert "TEXT" not in values.values(), values


@pytest.mark.parametrize(
    "option",
    ["--allow-internal", "--band-order", "--device", "--epochs", "--json", "--no-verify",
     "--overwrite", "--progress", "--quiet", "--service", "--set", "--threads"],
)  # fmt: skip
def test_an_option_of_several_commands_reads_alike(option: str) -> None:
    helps = {
        parameter.help
        for _, command in all_commands()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert len(helps) == 1, helps


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_are_real(page: str) -> None:
    for line in lines_of(page):
        require_real(line)


def test_the_readme_is_short_and_leads_somewhere() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(lines_of("README.md")) > 10
    for target in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in target:
            assert (REPOSITORY / target).is_file(), target
