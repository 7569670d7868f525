"""YAML without its surprises: no key twice in one mapping, no merge keys, no objects built from tags.

Of two equal keys most readers keep the last without a word, other languages' readers refuse the whole file, and merge keys
(``<<``) are a draft of YAML 1.1 that OpenAPI does not know. Whatever the hub ships or takes over stays readable for all.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError

_MERGE = "tag:yaml.org,2002:merge"


class _Strict(yaml.CSafeLoader):
    """The safe loader; it refuses what it would otherwise settle silently."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse merge keys and repeated keys, with their line, instead of flattening them."""
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if key.tag == _MERGE:
                raise ConstructorError(None, None, "merge keys are not allowed", key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "a key must be a single value", key.start_mark)
            if (key.tag, key.value) in seen:
                raise ConstructorError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
            seen.add((key.tag, key.value))


def load_yaml(content: bytes | str) -> Any:
    """Return the one document in ``content`` as plain values.

    Raises:
        yaml.YAMLError: it is not YAML, a mapping names a key twice (YAML 1.2.2, 3.2.1.1), or it uses merge keys.
    """
    return yaml.load(content, Loader=_Strict)  # noqa: S506  # a subclass of the safe loader
