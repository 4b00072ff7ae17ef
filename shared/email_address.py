"""Email addresses: which spellings are one address, and which spelling a mail carries.

A domain with letters beyond ASCII has two spellings that are one name: `bücher.example`, and its A-labels
`xn--bcher-kva.example` (RFC 5890). Browsers send the second from an email field.
"""

import unicodedata

import idna

LONGEST_ADDRESS = 254  # RFC 5321 §4.5.3.1.3, in the spelling that a mail carries


def ascii_domain(domain: str) -> str | None:
    """The domain in A-labels and lower case (UTS 46, not transitional); None when it cannot be a name of the DNS.

    A domain of ASCII characters is not checked.
    """
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:
        return None


def with_ascii_domain(address: str) -> str:
    """The address as a mail carries it: with its domain in A-labels, or unchanged when the domain has none."""
    local, at, domain = address.rpartition("@")
    encoded = None if domain.isascii() else ascii_domain(domain)
    return address if encoded is None else f"{local}{at}{encoded}"


def email_key(address: str) -> str:
    """The spelling under which an address is unique: NFKC and case folded, with its domain in A-labels.

    RFC 5321 leaves the case of the local part open. A text that is no address has a key, too.
    """
    local, at, domain = address.strip().rpartition("@")
    encoded = ascii_domain(domain) if at and not domain.isascii() else None
    if encoded is not None:
        return f"{unicodedata.normalize('NFKC', local).casefold()}@{encoded}"
    return unicodedata.normalize("NFKC", address.strip()).casefold()


def why_not_mailable(address: str) -> str | None:
    """Return why a mail may not reach this address, or None. The syntax is not checked.

    A local part with letters beyond ASCII needs SMTPUTF8 (RFC 6531) on every server on the way. If one of them lacks
    it, the owner gets no notice.
    """
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        return "the part before the @ must be of ASCII characters, because not every mail server takes others"
    if ascii_domain(domain) is None:
        return "the part behind the @ is not the name of a domain"
    if len(with_ascii_domain(address)) > LONGEST_ADDRESS:
        return f"the address is longer than {LONGEST_ADDRESS} characters"
    return None
