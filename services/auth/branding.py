"""The brand of this deployment: its name, where its support is, and the folder of its own texts, colours and logo.

Gateway and worker read how notices are worded; the gateway alone reads what the pages need.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.auth.domain import logo, palette
from services.auth.domain.logo import UnusableLogoError
from services.auth.domain.notice_texts import CATALOGUE, PARAGRAPHS, Wording, wordings
from services.auth.domain.palette import Palette
from shared.branding import brand_name
from shared.email_address import why_not_mailable
from shared.settings import Environment
from shared.texts import catalogue
from shared.texts.catalogue import Catalogue

TEXTS, NOTICES, COLOURS = "texts.toml", "notices.toml", "colors.toml"
LOGOS: Mapping[str, Callable[[bytes], bytes]] = {"logo.svg": logo.checked_svg, "logo.png": logo.checked_png}
FILES = (*LOGOS, COLOURS, TEXTS, NOTICES)
LARGEST_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Brand:
    """``support_email`` and ``support_url`` are shown on each page and in each mail, where they are set."""

    name: str
    support_email: str | None
    support_url: str | None
    folder: Path | None

    @property
    def support(self) -> tuple[str, ...]:
        """Where support is."""
        return tuple(filter(None, (self.support_email, self.support_url)))


@dataclass(frozen=True, slots=True)
class Pages:
    """What the pages are made of: all texts, all colours, and the deployment's logo by the name of its file."""

    texts: Catalogue
    colours: Palette
    logo: Mapping[str, bytes]


def read_catalogue() -> Catalogue:
    """Our texts of the pages, by key and language."""
    return catalogue.read("pages.toml")


def brand_from(env: Environment) -> Brand:
    """Read ``BRAND_NAME``, ``SUPPORT_EMAIL``, ``SUPPORT_URL`` and ``BRAND_FOLDER``, and look what is in the folder."""
    return Brand(brand_name(env), _support_email(env), _support_url(env), _folder(env))


def wordings_from(env: Environment, brand: Brand) -> Mapping[str, Wording]:
    """How notices are worded here, by language."""
    folder = _Folder(env, brand.folder)
    texts, faults = catalogue.replaced(CATALOGUE, folder.table(NOTICES), paragraphs=PARAGRAPHS)
    folder.report(NOTICES, faults)
    return wordings(texts, brand.name, brand.support)


def pages_from(env: Environment, brand: Brand) -> Pages:
    """What the pages are made of here."""
    folder = _Folder(env, brand.folder)
    texts, faults = catalogue.replaced(read_catalogue(), folder.table(TEXTS))
    folder.report(TEXTS, faults)
    colours, faults = palette.with_own(folder.table(COLOURS))
    folder.report(COLOURS, faults)
    return Pages(texts, colours, folder.logo())


@dataclass(frozen=True, slots=True)
class _Folder:
    """The brand's folder, if there is one. What is wrong in it is a fault of the settings."""

    env: Environment
    path: Path | None

    def report(self, file: str, faults: Iterable[str]) -> None:
        for fault in faults:
            self.env.fault(f"{file} in BRAND_FOLDER: {fault}")

    def table(self, file: str) -> Mapping[str, Any]:
        """A TOML file; empty without one, and after a fault."""
        content = self.content(file)
        try:
            return {} if content is None else tomllib.loads(content.decode("utf-8"))
        except ValueError as error:  # of UTF-8 and of TOML
            self.report(file, [f"is not TOML in UTF-8 ({error})"])
            return {}

    def logo(self) -> Mapping[str, bytes]:
        """The logo, checked, by the name of its file; empty without one, and after a fault."""
        for file, checked in LOGOS.items():
            content = self.content(file)
            if content is not None:
                try:
                    return {file: checked(content)}
                except UnusableLogoError as error:
                    self.report(file, [str(error)])
        return {}

    def content(self, file: str) -> bytes | None:
        path = None if self.path is None else self.path / file
        if path is None or not path.exists():
            return None
        try:
            content = path.read_bytes()
        except OSError as error:
            self.report(file, [f"cannot be read ({error.strerror})"])
            return None
        if len(content) > LARGEST_FILE_BYTES:
            self.report(file, [f"is larger than {LARGEST_FILE_BYTES} bytes"])
            return None
        return content


def _support_email(env: Environment) -> str | None:
    address = env.optional("SUPPORT_EMAIL")
    if address is None:
        return None
    local, _, domain = address.rpartition("@")
    is_plain = local and domain and address.isascii() and address.isprintable() and not set(address) & set(' <>",;?&%#')
    if not is_plain or why_not_mailable(address) is not None:
        env.fault("SUPPORT_EMAIL must be an email address, such as help@example.com")
    return address


def _support_url(env: Environment) -> str | None:
    url = env.optional("SUPPORT_URL")
    if url is None:
        return None
    if not url.isascii() or not url.isprintable() or set(url) & set(' <>"'):
        env.fault("SUPPORT_URL must be a URL in ASCII, without blanks")
    else:
        env.web_url("SUPPORT_URL", url)
    return url


def _folder(env: Environment) -> Path | None:
    given = env.optional("BRAND_FOLDER")
    if given is None:
        return None
    folder = Path(given)
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        env.fault(f"BRAND_FOLDER cannot be read ({error.strerror})")
        return None
    for name in names:
        if name not in FILES and name != "README.md" and not name.startswith("."):
            env.fault(f"BRAND_FOLDER holds {name}, which is none of {', '.join(FILES)}")
    if set(LOGOS) <= set(names):
        env.fault("BRAND_FOLDER must hold one logo, not both logo.svg and logo.png")
    return folder
