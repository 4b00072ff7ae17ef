"""The colours of the pages, light and dark: read from data, checked for contrast, written as custom properties.

Source: WCAG 2.2, SC 1.4.3 (text) and 1.4.11 (borders of fields, icons).
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

Palette = Mapping[str, Mapping[str, str]]

LIGHT, DARK = "light", "dark"
OURS: Palette = tomllib.loads(files(__package__).joinpath("palette.toml").read_text("utf-8"))

TEXT, GRAPHIC = 4.5, 3.0
# What stands on what.
ON: Mapping[float, Mapping[str, tuple[str, ...]]] = {
    TEXT: {
        "ink": ("ground", "card", "hover", "tint", "warn-tint"),
        "soft": ("ground", "card", "hover", "tint"),
        "accent": ("ground", "card", "tint"),
        "accent-deep": ("ground", "card"),
        "on-accent": ("accent", "accent-deep"),
        "bad": ("card", "bad-tint", "tint"),
        "good": ("card", "good-tint", "tint"),
        "warn": ("card", "warn-tint"),
    },
    GRAPHIC: {"field": ("card",), "edit": ("card",)},
}
_COLOUR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z")
_WHITE, _BLACK = "#ffffff", "#101114"
# What follows from the accent: the hovered button is nearer to the ink, and the tint is mostly the card.
_DEEP, _TINT = 0.2, 0.1


def with_own(own: Mapping[str, Any]) -> tuple[Palette, list[str]]:
    """Our palette with a deployment's own colours, and a sentence for each of those that cannot be used.

    What follows from the accent follows from the deployment's, where that is all that it sets.
    """
    faults = [f"[{mode}] is none of [{LIGHT}] and [{DARK}]" for mode in own if mode not in OURS]
    given: dict[str, dict[str, str]] = {}
    for mode in OURS:
        table = own.get(mode, {})
        if not isinstance(table, Mapping):
            faults.append(f"{mode} must be a table of colours: [{mode}]")
            table = {}
        found = {name: _fault(mode, name, value) for name, value in table.items()}
        faults += [fault for fault in found.values() if fault is not None]
        given[mode] = {name: _long(value) for name, value in table.items() if found[name] is None}
    for mode, other in ((LIGHT, DARK), (DARK, LIGHT)):
        alone = [name for name in given[mode] if name not in given[other]]
        faults += [f"{name} is set in [{mode}] alone: set it in [{other}], too" for name in alone]
    if faults:
        return OURS, faults
    palette = {mode: {**ours, **_following(ours, given[mode]), **given[mode]} for mode, ours in OURS.items()}
    return palette, [fault for mode in palette for fault in _contrast_faults(mode, palette[mode])]


def stylesheet(palette: Palette) -> str:
    """The palette as a style sheet."""
    light, dark = (
        ":root { " + " ".join(f"--{name}: {value};" for name, value in palette[mode].items()) + " }"
        for mode in (LIGHT, DARK)
    )
    return f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _fault(mode: str, name: str, value: object) -> str | None:
    if name not in OURS[mode]:
        return f"{name} in [{mode}] is not a colour of the pages"
    if not isinstance(value, str) or not _COLOUR.match(value):
        return f"{name} in [{mode}] must be a colour like #3f4bd8"
    return None


def _contrast_faults(mode: str, colours: Mapping[str, str]) -> Iterator[str]:
    for least, rows in ON.items():
        for name, grounds in rows.items():
            for ground in grounds:
                ratio = contrast(colours[name], colours[ground])
                if ratio < least:
                    pair = f"{name} {colours[name]} on {ground} {colours[ground]} in [{mode}]"
                    yield f"{pair} has a contrast of {ratio:.2f}; WCAG AA needs {least}"


def _following(ours: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    accent = given.get("accent")
    if accent is None:
        return {}
    colours = {**ours, **given}
    return {
        "accent-deep": _mixed(accent, colours["ink"], _DEEP),
        "tint": _mixed(colours["card"], accent, _TINT),
        "on-accent": max(_WHITE, _BLACK, key=lambda on: contrast(on, accent)),
    }


def _long(colour: str) -> str:
    """``#rrggbb`` in lower case."""
    digits = colour[1:].lower()
    return f"#{digits}" if len(digits) == 6 else "#" + "".join(2 * digit for digit in digits)


def _parts(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def _mixed(one: str, other: str, share: float) -> str:
    pairs = zip(_parts(one), _parts(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _luminance(colour: str) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (part / 255 for part in _parts(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
