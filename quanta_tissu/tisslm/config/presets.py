"""Named configurations that come with the package, as commented YAML files in `presets/`."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files

from quanta_tissu.errors import ConfigError


@dataclass(frozen=True)
class Preset:
    """A named configuration."""

    name: str
    text: str

    @property
    def description(self) -> str:
        """The first comment line of its file."""
        return self.text.splitlines()[0].lstrip("# ")


def list_presets() -> list[Preset]:
    """Every preset, by name."""
    folder = files("quanta_tissu.tisslm.config") / "presets"
    found = [
        Preset(file.name.removesuffix(".yaml"), file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    ]
    return sorted(found, key=lambda preset: preset.name)


def get_preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        ConfigError: There is no such preset.
    """
    presets = {preset.name: preset for preset in list_presets()}
    if name not in presets:
        close = get_close_matches(name, presets, n=1)
        raise ConfigError(
            f"there is no preset {name!r}",
            hint=(f"did you mean {close[0]!r}? " if close else "") + f"presets: {', '.join(presets)}",
        )
    return presets[name]
