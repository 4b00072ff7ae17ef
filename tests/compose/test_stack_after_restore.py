"""The commands of docs/restore.md in containers; the whole drill is tests/real/whole_stack/test_restore.py."""

import re
from dataclasses import replace

import pytest

from deploy.local.settings import ROOT
from deploy.portal import Portal
from shared.clock import rfc3339, system_clock
from tests.compose.conftest import DEVELOPMENT, PRODUCTION

pytestmark = pytest.mark.timeout(900)


def test_the_runbook_of_a_restore_does_what_it_says(stack, tmp_path):
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / "restore.md").read_text(), re.DOTALL | re.MULTILINE)
    what = next(line for block in blocks for line in block.splitlines() if line.startswith("WHAT="))
    commands = next(block for block in blocks if "operator_redis_url" in block)
    email, old, new = "restored@example.com", "eight wet otters sing", "nine dry badgers hum"
    member = Portal(stack.base_url, patient=True)
    person = ("--email", email, "--role", "member", "--team", "Drill", "--name", "Drill")
    here = replace(stack, settings={"COMPOSE_FILE": f"{ROOT / PRODUCTION}:{ROOT / DEVELOPMENT}"})
    here.compose(
        "exec", "-T", "auth", "python", "-m", "services.auth", "accounts", "create", *person, files=[], text=old
    )

    postgres = ("docker", "exec", stack.containers("postgres")[0]["Id"], "sh", "-euc")
    taken_at = rfc3339(system_clock())
    stack.run(*postgres, "for name in auth otp; do pg_dump -Fc -f /tmp/$name $name; done")
    assert member.log_in(email, old).status == 200
    assert member.post("/v1/password", {"current_password": old, "new_password": new}).status == 200

    here.compose("stop", "auth", "auth-worker", "otp", "otp-worker", "notify", "notices", "relay", files=[])
    stack.run(*postgres, "for name in auth otp; do pg_restore --clean --if-exists -d $name /tmp/$name; done")
    what = re.sub(r"(?<=--backup-taken-at )\S+", taken_at, what)
    script = f'cd "$0"\nS={stack.var_dir}/compose/secrets\n{what}\n{commands}\n'
    verify = "$AS auth-worker python -m services.auth audit verify"
    verified = here.run("sh", "-euc", script.replace("rm $S", f"{verify}\nrm $S"), str(tmp_path)).stdout
    assert f"backup of {taken_at}" in verified

    stack.make("up")
    back = Portal(stack.base_url, patient=True)
    assert back.log_in(email, old).code == "invalid_credentials"
    assert back.log_in(email, new).status == 200
