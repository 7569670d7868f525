"""How an adapter is configured on a bench: a small YAML file, which the adapter's author writes.

::

    family: http             # none, file, http, fit_connect, smtp, sftp, s3
    options:                 # the adapter's own; {…} stands for what the bench puts in
      url: "{url}/in"
      ca_file: "{ca_file}"
      timeout: 10
    hasty:                   # options for benches that never answer: seconds, at most 3
      timeout: 1

It lies beside the adapter's module as ``trials/<name>.yaml``, or is named to ``hub adapters check``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from hub.adapter_kit.cases import Family
from hub.adapter_kit.workshop import Places
from hub.delivery import Adapter
from hub.errors import ConfigurationError, Text

_MEMBERS = frozenset({"family", "options", "hasty"})
_PLACE = re.compile(r"\{([a-z_]+)\}")
_LIMIT = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """An adapter's family and options; ``hasty`` are options over them for benches that stall."""

    family: Family
    options: Mapping[str, Any]
    hasty: Mapping[str, Any] = field(default_factory=dict)

    def filled(self, places: Places, *, hasty: bool = False) -> dict[str, Any]:
        """Return the options with the bench's places put in.

        Raises:
            ConfigurationError: the bench of this family has no such place.
        """
        options = {**self.options, **(self.hasty if hasty else {})}
        return {name: _fill(value, places) for name, value in options.items()}


def read_trial(text: str) -> Trial:
    """Read a trial.

    Raises:
        ConfigurationError: it is no YAML mapping of ``family``, ``options`` and ``hasty``.
    """
    try:
        document = yaml.safe_load(text)
        if not isinstance(document, dict) or not _MEMBERS >= set(document):
            raise ValueError
        parts = [document.get("options") or {}, document.get("hasty") or {}]
        if not all(isinstance(part, dict) and all(isinstance(name, str) for name in part) for part in parts):
            raise ValueError
        return Trial(family=Family(document.get("family")), options=parts[0], hasty=parts[1])
    except (yaml.YAMLError, ValueError) as exc:
        families = ", ".join(Family)
        raise ConfigurationError(
            Text(
                f"Die Erprobung eines Adapters ist YAML mit family ({families}), options und hasty.",
                f"An adapter's trial is YAML with family ({families}), options and hasty.",
            )
        ) from exc


def find_trial(name: str, adapter: type[Adapter], file: Path | None) -> Trial:
    """Return the trial in ``file``, or the one that lies beside the adapter's module.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    try:
        if file is not None:
            return read_trial(file.read_text("utf-8")[:_LIMIT])
        package = adapter.__module__.rpartition(".")[0] or adapter.__module__
        return read_trial(resources.files(package).joinpath("trials", f"{name}.yaml").read_text("utf-8")[:_LIMIT])
    except (OSError, ModuleNotFoundError, TypeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            Text(
                f"Für den Adapter {name} fehlt die Erprobung. Legen Sie trials/{name}.yaml neben sein Modul, oder "
                "nennen Sie eine Datei mit --config.",
                f"The trial of the adapter {name} is missing. Put trials/{name}.yaml beside its module, or name a file "
                "with --config.",
            )
        ) from exc


def _fill(value: Any, places: Places) -> Any:
    if not isinstance(value, str):
        return value
    unknown = set(_PLACE.findall(value)) - set(places)
    if unknown:
        names, known = ", ".join(sorted(unknown)), ", ".join(sorted(places))
        raise ConfigurationError(
            Text(
                f"Auf diesem Prüfstand gibt es nicht: {names}. Es gibt: {known}.",
                f"This bench does not have: {names}. It has: {known}.",
            )
        )
    alone = _PLACE.fullmatch(value)
    return places[alone.group(1)] if alone else _PLACE.sub(lambda found: str(places[found.group(1)]), value)
