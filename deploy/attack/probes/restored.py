"""What a restored backup would revive: spent codes, used steps, ended sessions (row 59)."""

import tempfile
from pathlib import Path

from deploy.attack.backup import Backup
from deploy.attack.people import enrol, expect, prove_phone, sms_code
from deploy.attack.probe import Probe, Target
from deploy.attack.steps import change_password, device_token, log_in_with
from deploy.attack.watch import Watch, watched
from deploy.portal import STEP_SECONDS


@watched
def restored_backup(target: Target, watch: Watch) -> str:
    """Back up, use codes, end a session, change the password; restore as the runbook says, and try all of it again."""
    stack = target.need_control()
    owner = enrol(target)
    prove_phone(owner)
    thief, device = owner.signed_in(), device_token(owner)
    waiting, challenge = owner.challenge()
    texted = sms_code(owner, waiting, challenge)
    with tempfile.TemporaryDirectory(prefix="latchkey-backup-") as folder:
        backup = Backup(stack, Path(folder))
        spent = owner.recovery_codes.pop()
        owner.signed_in(), expect(owner.guess(spent), 200)
        expect(thief.post("/v1/logout"), 204)
        old_password = owner.account.password
        owner = change_password(owner, owner.browser)
        used = owner.app.at(backup.put_back() + STEP_SECONDS)  # the last that is refused
    watch.refused("an app code of a step up to the restore", owner.guess(used), "invalid_passcode")
    watch.refused("a session that was ended", thief.get("/v1/session"), "not_authenticated")
    watch.refused("a login of before", waiting.verify(challenge, texted), "challenge_expired")
    login = target.browser().log_in(owner.account.email, old_password)
    watch.refused("the password of before", login, "invalid_credentials")
    watch.refused("a backup code that was spent", owner.guess(spent), "invalid_passcode")
    login = log_in_with(owner, device)
    skips = login.body.get("status") == "authenticated"
    watch.holds("a remembered browser skips the code", not skips)
    watch.served("a backup code that is left", owner.guess(owner.recovery_codes.pop()))
    return "codes, a session, a device, a login and a password of before a restore of both databases and Redis"


PROBES = (Probe(59, "restored-backup", "What a restored backup revives", "found here", restored_backup, alone=True),)
