"""What was typed wrong, in drd's words instead of click's: what it is, and what to type."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import click

LISTED = {
    "POLICY": "the policies are listed by: drd status",
    "STORE": "the stores are listed by: drd status",
    "NAME": "the runbooks are listed by: drd runbook list",
}
"""Where the values of an argument are found."""


def told(error: click.ClickException) -> tuple[str, str]:
    """The message and the hint of an error of usage."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    see = f"type: {context.command_path} --help" if context else ""
    match error:
        case click.MissingParameter(param=click.Argument() as argument) if context is not None:
            name = argument.make_metavar(context)
            return f"{name} is missing", f"type: {_usage(context)}; {LISTED.get(name, see)}"
        case click.MissingParameter(param=click.Option() as option):
            return f"{option.opts[0]} {option.metavar or ''}".strip() + " is missing", see
        case click.NoSuchOption():
            known = [name for each in context.command.params for name in each.opts] if context else []
            return f"there is no option {error.option_name}{meant(error.option_name, known)}", see
        case click.BadParameter(param=click.Parameter(type=click.Choice() as choice) as parameter):
            words = [str(each) for each in choice.choices]
            return f"{_name(parameter)} is one of {', '.join(words)}", see
        case click.BadParameter(param=click.Parameter() as parameter):
            return f"{_name(parameter)}: {_plain(error.message)}", see
    return _plain(error.format_message()), see


def meant(word: str, known: Iterable[str]) -> str:
    """`: did you mean …?` where a known word is near; else empty."""
    near = get_close_matches(word, list(known), n=1)
    return f": did you mean {near[0]}?" if near else ""


def _name(parameter: click.Parameter) -> str:
    return parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name.upper()


def _plain(words: str) -> str:
    return (words[:1].lower() + words[1:]).removesuffix(".")


def _usage(context: click.Context) -> str:
    needed = [parameter for parameter in context.command.params if parameter.required]
    words = [
        parameter.make_metavar(context)
        if isinstance(parameter, click.Argument)
        else f"{parameter.opts[0]} {parameter.metavar or 'TEXT'}"
        for parameter in needed
    ]
    return " ".join((context.command_path, *words))
