"""Reading YAML files that people write: what they mean by a number, and one sentence for what cannot be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"


class SettingsFileError(ValueError):
    """A file cannot be read. The message is one sentence that names the file, and the line where that is known."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 with the numbers of 1.2: ``1e-3`` is 0.001 and no text; a key that is there twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if isinstance(key, (str, int, float, bool)) and key in first:
                raise SettingsFileError(
                    f"{key} is there twice, in lines {first[key]} and {line}, and only one of them can count: remove "
                    f"the other."
                )
            if isinstance(key, (str, int, float, bool)):
                first[key] = line
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    letter: list(resolvers) for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        SettingsFileError: It is missing, not UTF-8 text, not YAML, or has a key twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Loader)
    except FileNotFoundError as err:
        raise SettingsFileError(f"{path.name} is missing: restore it, e.g. with git checkout {path.name}.") from err
    except UnicodeDecodeError as err:
        raise SettingsFileError(
            f"{path.name} is not UTF-8 text (byte {err.object[err.start]:#04x} in line "
            f"{err.object.count(10, 0, err.start) + 1}): save it as UTF-8."
        ) from err
    except SettingsFileError as err:
        raise SettingsFileError(f"{path.name}: {err}") from None
    except (yaml.YAMLError, RecursionError) as err:
        raise SettingsFileError(f"{path.name} is not valid YAML: {err}") from err
