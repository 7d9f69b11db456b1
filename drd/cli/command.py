"""Commands that all take the same options: --config, --json, --debug."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from drd.cli.misuse import meant
from drd.cli.session import Session

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

pass_session = click.make_pass_decorator(Session)


def common_options() -> list[click.Option]:
    """Options that may stand before and after a command's name."""
    return [
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path, readable=False),
            expose_value=False,
            callback=_keep("config"),
            help="The configuration to read.  [default: $DRD_CONFIG or /etc/drd/drd.yaml]",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_keep("as_json"),
            help="Answer with JSON, for programs.",
        ),
        click.Option(
            ["--debug"], is_flag=True, expose_value=False, callback=_keep("debug"), help="Show where an error arose."
        ),
    ]


class Command(click.Command):
    """A command with the common options."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.extend(common_options())


class Group(click.Group):
    """Commands under one name."""

    command_class = Command

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.extend(common_options())

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a misspelt one is answered with the nearest."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            path = ctx.command_path.partition(" ")[2]
            command = f"{path} {name}".strip()
            raise click.UsageError(f"there is no command {command}{meant(name, self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def keep(ctx: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        if value:
            setattr(ctx.ensure_object(Session), name, value)
        return value

    return keep
