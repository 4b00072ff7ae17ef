"""The accounts to try the stack with, made through the services' own command lines, inside their containers."""

import json

from deploy.compose.containers import Containers
from deploy.local.announce import answers_200
from deploy.local.demo_data import DemoAccount, DemoData, read_demo, write_demo
from deploy.local.seed import PLANS, new_password, new_totp_secret
from deploy.local.settings import LocalSettings


def seed(containers: Containers) -> DemoData:
    """Make the accounts that aren't there yet and write `demo.json` after each. Raises ComposeError."""
    path = containers.demo_file
    made = {account.email: account for account in read_demo(path).accounts} if path.exists() else {}
    for plan in PLANS:
        if plan.email not in made:
            password, secret = new_password(), new_totp_secret() if plan.second_factor else None
            answer = containers.execute(
                "auth",
                [
                    *("services.auth", "accounts", "create", "--email", plan.email, "--role", plan.role),
                    *("--team", plan.team, "--name", plan.name),
                ],
                password + "\n",
            )
            account_id = str(json.loads(answer.strip().splitlines()[-1])["id"])
            if secret:
                containers.execute(
                    "otp",
                    ["services.otp", "authenticators", "import", "--account-id", account_id, "--label", plan.email],
                    secret + "\n",
                )
            made[plan.email] = DemoAccount(account_id, plan.email, password, plan.role, secret)
        write_demo(path, DemoData(containers.base_url, tuple(made.values())))
    return read_demo(path)


def running_demo(settings: LocalSettings) -> DemoData | None:
    """The accounts of the stack that `make up` started, or None when its gateway does not answer."""
    try:
        demo = read_demo(Containers(settings, ()).demo_file)
    except FileNotFoundError:
        return None
    return demo if answers_200(f"{demo.base_url}/healthz") else None
