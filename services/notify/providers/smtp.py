"""Email through an SMTP server (RFC 5321), one connection a message: notices are few."""

import contextlib
import email.message
import smtplib
import ssl
from email.errors import MessageError
from email.headerregistry import Address
from email.policy import SMTP
from email.utils import format_datetime

from services.notify.domain.mail_html import as_html
from services.notify.providers import EmailMessage, ProviderMisconfigured, ProviderUnavailable, RecipientRejected
from services.notify.settings import SmtpSecurity, SmtpSettings
from shared.delivery_reasons import DeliveryReason
from shared.email_address import ascii_domain, with_ascii_domain

TIMEOUT_SECONDS = 5.0
_PERMANENT = 500  # RFC 5321 §4.2.1: 5yz is final, 4yz may pass


class SmtpEmail:
    """An EmailProvider."""

    name = "smtp"

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._tls = None if settings.security is SmtpSecurity.NONE else ssl.create_default_context()
        domain = settings.sender.rpartition("@")[2].strip("<> ")
        self._domain = ascii_domain(domain) or domain
        self._sender = settings.sender.replace(f"@{domain}", f"@{self._domain}")

    def send(self, message: EmailMessage) -> str:
        """Send; the Message-ID, which stays the same when a message is sent twice.

        Raised ``from None``: a server's answer quotes the address, and a traceback prints what it came from.
        """
        try:
            letter = self._letter(message)
        except (ValueError, IndexError, MessageError):
            raise RecipientRejected(DeliveryReason.ADDRESS_REFUSED, "not an address that mail can carry") from None
        handed_over = False
        try:
            with contextlib.closing(self._connect()) as server:
                self._introduce(server)
                handed_over = True
                server.send_message(letter)
                with contextlib.suppress(smtplib.SMTPException, OSError):  # it is sent, whatever follows
                    server.quit()
        except smtplib.SMTPException as error:
            raise _refusal(error, handed_over=handed_over) from None
        except OSError as error:
            raise ProviderUnavailable(type(error).__name__, maybe_sent=handed_over) from None
        return str(letter["Message-ID"])

    def _connect(self) -> smtplib.SMTP:
        # Our name is given, or smtplib asks DNS for it, without a time-out, at every connection.
        place = (self._settings.host, self._settings.port, self._domain)
        if self._settings.security is SmtpSecurity.TLS:
            return smtplib.SMTP_SSL(*place, timeout=TIMEOUT_SECONDS, context=self._tls)
        return smtplib.SMTP(*place, timeout=TIMEOUT_SECONDS)

    def _introduce(self, server: smtplib.SMTP) -> None:
        server.ehlo_or_helo_if_needed()
        if self._settings.security is SmtpSecurity.STARTTLS:
            server.starttls(context=self._tls)
        if self._settings.username and self._settings.password:
            server.login(self._settings.username, self._settings.password.reveal())

    def _letter(self, message: EmailMessage) -> email.message.EmailMessage:
        recipient = with_ascii_domain(message.to)
        if not recipient.isascii():  # it needs SMTPUTF8 (RFC 6531), and not every server on the way has that
            raise ValueError("not ASCII")
        letter = email.message.EmailMessage(policy=SMTP)
        letter["From"] = self._sender
        letter["To"] = Address(addr_spec=recipient)
        letter["Subject"] = message.subject
        letter["Date"] = format_datetime(message.written_at)
        letter["Message-ID"] = f"<{message.message_id}@{self._domain}>"
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office reply, please
        letter.set_content(message.body)
        letter.add_alternative(as_html(message.subject, message.body, message.language), subtype="html")
        return letter


def _refusal(error: smtplib.SMTPException, *, handed_over: bool) -> ProviderUnavailable | RecipientRejected:
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=recipients):
            codes = sorted(code for code, _ in recipients.values())
            if codes and codes[0] >= _PERMANENT:
                return RecipientRejected(DeliveryReason.ADDRESS_REFUSED, f"smtp {codes[0]}")
            return ProviderUnavailable(f"smtp {codes}")
        case smtplib.SMTPDataError(smtp_code=code) if code >= _PERMANENT:
            return RecipientRejected(DeliveryReason.FILTERED, f"smtp {code}")
        case smtplib.SMTPAuthenticationError(smtp_code=code) | smtplib.SMTPSenderRefused(smtp_code=code):
            kind = ProviderMisconfigured if code >= _PERMANENT else ProviderUnavailable
            return kind(f"smtp {code} {type(error).__name__}")
        case smtplib.SMTPNotSupportedError():
            return ProviderMisconfigured(type(error).__name__)
        case smtplib.SMTPResponseException(smtp_code=code):
            return ProviderUnavailable(f"smtp {code}")
    return ProviderUnavailable(type(error).__name__, maybe_sent=handed_over)
