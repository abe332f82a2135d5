"""Pages of the site that are made when it is built: a hook of mkdocs, see mkdocs.yml.

The reference of commands is what ``--help`` says; pages that stand elsewhere in the repository
(the changelog, the cards of models, notebooks) are shown under ``repository/``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files

from geolulc.cli import COMMANDS, cli

REPOSITORY = Path(__file__).resolve().parents[1]
_PAGES = ("CHANGELOG.md", "MODEL_CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    cards = sorted((REPOSITORY / "models").glob("*.md"))
    for source in (*(REPOSITORY / name for name in _PAGES), *cards):
        place = f"repository/{source.relative_to(REPOSITORY).as_posix()}"
        files.append(File.generated(config, place, content=source.read_text(encoding="utf-8")))
    for notebook in sorted((REPOSITORY / "examples").glob("notebook_*.py")):
        page = notebook_page(notebook.read_text(encoding="utf-8"))
        files.append(
            File.generated(config, f"repository/examples/{notebook.stem}.md", content=page)
        )
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links between docs/ and the rest of the repository, as the site has them."""
    if page.file.src_uri.startswith("repository/"):
        return re.sub(r"\]\((\.\./)?docs/", r"](../\1", markdown)
    markdown = re.sub(r"(\]\([./]+examples/notebook_\w+)\.py\)", r"\1.md)", markdown)
    up = "../" * page.file.src_uri.count("/")
    return re.sub(rf"\]\({up}\.\./(?!docs/)", f"]({up}repository/", markdown)


def notebook_page(text: str) -> str:
    """A notebook in jupytext's percent format as a page: its texts, and its code in blocks."""
    parts = []
    for cell in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        kind, _, body = cell.partition("\n")
        if "[markdown]" in kind:
            parts.append(re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip())
        else:
            parts.append(f"```python\n{body.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def commands_page() -> str:
    """The help of every command, as one page."""
    parts = [
        "# Commands\n\nWhat `--help` says of each command. Exit codes and progress: "
        "[geolulc for programs](../machines.md).\n"
    ]
    for name, command in _commands():
        context = click.Context(command, info_name=f"geolulc {name}")
        text = command.get_help(context)
        parts.append(f"## geolulc {name}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is None:
            continue
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", inner) for sub, inner in command.commands.items())
