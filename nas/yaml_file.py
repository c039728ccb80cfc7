"""`load_yaml`: the one way in which a YAML file that people write becomes plain data."""

from pathlib import Path
from typing import Any

import yaml

from nas.errors import SpecError

_MAX_BYTES = 1 << 20


class _StrictLoader(yaml.SafeLoader):
    """Safe tags only; no aliases, which can make a short file endless; a key given twice is an error."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping that the file holds.

    Raises:
        SpecError: the file is absent, empty, too large, no UTF-8 text, no YAML, asks for objects other than
            plain data, or is no mapping.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SpecError(f"{path}: larger than {_MAX_BYTES} bytes; expected a short YAML file")
        text = path.read_text(encoding="utf-8")
        data = yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: not a text file; expected YAML in UTF-8") from None
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise SpecError(f"{path}: not plain YAML: {_one_line(error)}") from None
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        found = "nothing" if data is None else type(data).__name__
        raise SpecError(f"{path}: holds {found}; expected keys and values")
    return data


def require_keys(
    place: str, data: object, known: frozenset[str], required: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """`data` if it is a mapping with only `known` and all `required` keys; `place` names file and position.

    Raises:
        SpecError: otherwise.
    """
    if not isinstance(data, dict):
        raise SpecError(f"{place}: found {data!r}; expected keys and values")
    for key in data:
        if key not in known:
            raise SpecError(f"{place}: unknown key {key!r}; expected one of {', '.join(sorted(known))}")
    if missing := required - data.keys():
        raise SpecError(f"{place}: missing {', '.join(sorted(missing))}")
    return data


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    line = f"line {mark.line + 1}: " if mark else ""
    return line + " ".join(str(problem).split())
