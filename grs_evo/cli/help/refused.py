"""What Click refuses of a command line, as one line that names the thing, its value and what is allowed."""

from __future__ import annotations

import math
import re
from typing import Any

import click

from grs_evo.errors import nearest


def refused(error: click.ClickException) -> str:
    """The line for an error of the command line."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return _sentence(error.format_message())
    command = context.command_path.partition(" ")[2]
    place, more = f"{command}: " if command else "", f"; see {context.command_path} --help"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"{place}{_name(error.param)} is missing{_meaning(error.param)}{more}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        allowed, value = _allowed(error.param.type), _value(error.message)
        if allowed and value:
            choices = error.param.type.choices if isinstance(error.param.type, click.Choice) else ()
            near = nearest(value.strip("'"), map(str, choices))
            return f"{place}{_name(error.param)} is {value}; it must be {allowed}{near}"
    if isinstance(error, click.NoSuchOption):
        known = [name for one in context.command.get_params(context) for name in one.opts if name.startswith("--")]
        return f"{place}{error.option_name} is no option{nearest(error.option_name, known)}{more}"
    if isinstance(context.command, click.Group) and (named := re.search(r"'(.+?)'", error.message)):
        known = context.command.list_commands(context)
        return f"{place}{named[1]!r} is no command{nearest(named[1], known)}; there are {', '.join(known)}"
    return f"{place}{_sentence(error.format_message())}{more}"


def _sentence(text: str) -> str:
    """Without its capital and its full stop, in one line."""
    text = " ".join(text.split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _name(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return (parameter.metavar or parameter.name or "").rstrip("_").upper()
    return max(parameter.opts, key=len)


def _meaning(parameter: click.Parameter) -> str:
    words = getattr(parameter, "help", None)
    return f" ({words.rstrip('.')})" if words else ""


def _value(message: str) -> str:
    found = re.match(r"(.+?) is not ", message)
    return found[1] if found else ""


def _allowed(kind: Any) -> str:
    """What a parameter takes, in words; empty where its type says no more than its name."""
    if isinstance(kind, click.Choice):
        return f"one of {', '.join(map(str, kind.choices))}"
    whole = isinstance(kind, click.types.IntParamType)
    if not whole and not isinstance(kind, click.types.FloatParamType):
        return ""
    words = "a whole number" if whole else "a number"
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is None:
        return words
    if high is not None and math.isfinite(high):
        return f"{words} from {low} to {high}"
    return f"{words} above {low}" if getattr(kind, "min_open", False) else f"{words}, {low} or more"
