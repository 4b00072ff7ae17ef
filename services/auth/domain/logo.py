"""A deployment's logo: a PNG, or an SVG that holds shapes and nothing that runs or is fetched."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET  # nosec B405  # see checked_svg

LARGEST_LOGO_BYTES = 32 * 1024  # the login page weighs 60 KB at most without it
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_ELEMENTS = frozenset(
    {
        *("svg", "g", "defs", "symbol", "use", "title", "desc", "path", "rect", "circle", "ellipse", "line"),
        *("polyline", "polygon", "text", "tspan", "linearGradient", "radialGradient", "stop", "clipPath", "mask"),
    }
)
# A document type can define entities; an instruction can name a style sheet.
_NOT_PLAIN = re.compile(r"<!(?:DOCTYPE|ENTITY)|<\?(?!xml[\s?])", re.IGNORECASE)
_FETCHES = re.compile(r"""url\((?!\s*["']?#)|@import|[\\]""", re.IGNORECASE)
_PNG, _PNG_HEADER = b"\x89PNG\r\n\x1a\n", b"IHDR"

ET.register_namespace("", _SVG)
ET.register_namespace("xlink", _XLINK)


class UnusableLogoError(ValueError):
    """The message says what is wrong, as the end of a sentence that begins with the file's name."""


def checked_png(content: bytes) -> bytes:
    """Return the picture. Raises UnusableLogoError."""
    _require_size(content)
    if not content.startswith(_PNG) or content[12:16] != _PNG_HEADER:
        raise UnusableLogoError("is not a PNG")
    return content


def checked_svg(content: bytes) -> bytes:
    """Return the picture, written anew from what was checked, so that no browser reads it in another way.

    Raises UnusableLogoError.
    """
    _require_size(content)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise UnusableLogoError("is not an SVG in UTF-8") from None
    if _NOT_PLAIN.search(text):
        raise UnusableLogoError("must have no document type and no instruction but <?xml?>")
    try:
        # Without a document type there are no entities to expand.
        root = ET.fromstring(text)  # noqa: S314 # nosec B314
    except (ET.ParseError, ValueError):
        raise UnusableLogoError("is not an SVG in UTF-8") from None
    if root.tag != f"{{{_SVG}}}svg":
        raise UnusableLogoError(f"is not an SVG: its root must be svg of {_SVG}")
    for fault in _faults(root):
        raise UnusableLogoError(fault)
    served: bytes = ET.tostring(root, encoding="utf-8")
    return served


def _faults(root: ET.Element) -> Iterator[str]:
    for element in root.iter():
        space, _, name = element.tag.rpartition("}")
        if space != f"{{{_SVG}" or name not in _ELEMENTS:
            yield f"holds <{name}>: save it as a plain SVG of shapes, without scripts, styles and pictures"
        for full_name, value in element.attrib.items():
            attribute = full_name.rpartition("}")[2].lower()
            if attribute.startswith("on"):
                yield f"holds a script in {attribute}"
            if attribute in {"href", "src"} and not value.startswith("#"):
                yield f"leads elsewhere in {attribute}: only #names of its own are taken"
            if _FETCHES.search(value):
                yield f"leads elsewhere in {attribute}: only url(#names) of its own are taken"


def _require_size(content: bytes) -> None:
    if len(content) > LARGEST_LOGO_BYTES:
        raise UnusableLogoError(f"has {len(content)} bytes: a logo has at most {LARGEST_LOGO_BYTES}")
