"""How the pages of a deployment look and speak: our files, with its texts, colours and logo. Made once, at start."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.auth.branding import Brand, Pages
from services.auth.domain import palette
from services.auth.domain.palette import LIGHT
from services.auth.portal.assets import ASSETS, Asset, asset, version_of
from services.auth.portal.texts import Texts, by_language
from services.auth.settings import AuthSettings

_STYLES, _MARK = "portal.css", "mark.svg"
_NOT_OF_FILE_NAMES = re.compile(r"\W+")


@dataclass(frozen=True, slots=True)
class Look:
    """``mark`` names the asset that is the logo."""

    brand: Brand
    texts: Mapping[str, Texts]
    assets: Mapping[str, Asset]
    version: str
    mark: str

    @property
    def codes_file(self) -> str:
        """The name under which backup codes are downloaded."""
        name = _NOT_OF_FILE_NAMES.sub("-", self.brand.name.casefold()).strip("-")
        return f"{name or 'portal'}-backup-codes.txt"


def look_of(settings: AuthSettings) -> Look:
    """How the pages look under these settings.

    The colours are the beginning of the style sheet, because a second one would be a second file to wait for.
    """
    pages = settings.pages
    styles = palette.stylesheet(pages.colours).encode() + ASSETS[_STYLES].plain
    mark, picture = _mark(pages)
    assets = {**ASSETS, _STYLES: asset(_STYLES, styles), mark: asset(mark, picture)}
    return Look(settings.brand, by_language(pages.texts), assets, version_of(assets), mark)


def _mark(pages: Pages) -> tuple[str, bytes]:
    """The deployment's logo, or ours in its colours."""
    for file, picture in pages.logo.items():
        return f"mark.{file.rpartition('.')[2]}", picture
    ours = ASSETS[_MARK].plain
    for name in ("accent", "on-accent"):
        ours = ours.replace(palette.OURS[LIGHT][name].encode(), pages.colours[LIGHT][name].encode())
    return _MARK, ours
