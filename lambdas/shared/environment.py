"""The environment of a function: what the stack around it writes and the function reads, named in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Self


class MissingVariablesError(Exception):
    """The function was made without variables that it needs."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Base of the environment of a function: every field is a variable with its name in capitals, a text."""

    @property
    def variables(self) -> dict[str, str]:
        """The environment as Lambda takes it, e.g. ``{"QUEUE_URL": "https://…"}``."""
        return {field.name.upper(): getattr(self, field.name) for field in fields(self)}

    @classmethod
    def read(cls) -> Self:
        """Return the environment of this process.

        Raises:
            MissingVariablesError: Variables are not set; the message names all of them.
        """
        names = {field.name: field.name.upper() for field in fields(cls)}
        missing = sorted(variable for variable in names.values() if variable not in os.environ)
        if missing:
            raise MissingVariablesError(
                f"{', '.join(missing)} not set, so the function cannot work: make it with the stack of this repository "
                f"that belongs to its code, which sets every field of {cls.__name__}."
            )
        return cls(**{name: os.environ[variable] for name, variable in names.items()})
