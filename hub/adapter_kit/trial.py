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
from hub.errors import ConfigurationError, Text
from hub.files.strict_yaml import load_yaml
from hub.model.delivery import Adapter

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
        document = load_yaml(text)
        family = Family(document.pop("family"))
        options, hasty = document.pop("options", {}), document.pop("hasty", {})
        fits = not document and all(isinstance(name, str) for name in [*options.keys(), *hasty.keys()])
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, TypeError) as exc:
        raise _no_trial() from exc
    if not fits:
        raise _no_trial()
    return Trial(family=family, options=options, hasty=hasty)


def _no_trial() -> ConfigurationError:
    families = ", ".join(Family)
    return ConfigurationError(
        Text(
            f"Die Erprobung eines Adapters ist YAML mit family ({families}), options und hasty.",
            f"An adapter's trial is YAML with family ({families}), options and hasty.",
        )
    )


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
