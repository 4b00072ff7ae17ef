from services.notify.providers import EmailMessage, SmsMessage
from services.notify.providers.console import ConsoleEmail, ConsoleSms
from shared import dev_inbox
from shared.phone import PhoneNumber
from tests.unit.notify.courier import ADDRESS, BODY, PHONE, START


def test_both_channels_land_in_the_inbox_newest_first(courier):
    ConsoleSms(courier.redis, courier.clock).send(
        SmsMessage("msg_1", PhoneNumber(PHONE), BODY, 300, wants_receipt=True)
    )
    courier.clock.turn(1)
    ConsoleEmail(courier.redis, courier.clock).send(EmailMessage("ntc_1", ADDRESS, "2FA is on", BODY, START))
    email, sms = dev_inbox.messages(courier.redis)
    assert (sms.channel, sms.to, sms.subject, sms.body, sms.message_id) == ("sms", PHONE, None, BODY, "msg_1")
    assert sms.sent_at == "2126-11-24T12:00:00.000000Z"
    assert (email.channel, email.to, email.subject, email.message_id) == ("email", ADDRESS, "2FA is on", "ntc_1")
