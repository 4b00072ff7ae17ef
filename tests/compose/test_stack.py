"""The whole stack in containers, with a real Docker engine. The tests share one stack and go from top to bottom."""

import json
from collections import Counter

import pytest

from deploy.local.settings import ROOT
from services.notify.tasks import CONSUMERS
from tests.compose.conftest import DEVELOPMENT, PIP_MARK, PRODUCTION, PROJECT, service_of

pytestmark = pytest.mark.timeout(900)

SERVICES = ("auth", "otp", "notify")
ONCE = {"databases", "auth-migrate", "otp-migrate", "relay-access"}
THREADS_OF_A_WORKER = 8


def secrets_of(stack):
    """Passwords and keys, without the ids and addresses around them."""
    files = (stack.var_dir / "compose" / "secrets").iterdir()
    values = [
        path.read_text().strip()
        for path in files
        if not path.name.endswith(("_url", "_conf", "_users", "_definitions", "_definitions_for_upgrade"))
    ]
    return [value.rpartition(":")[2] for value in values if value]


def test_every_part_is_healthy_and_every_preparation_is_done(stack):
    containers = {service_of(container): container["State"] for container in stack.containers(running=False)}
    done = {name for name, state in containers.items() if state["Status"] == "exited" and state["ExitCode"] == 0}
    healthy = {name for name, state in containers.items() if state.get("Health", {}).get("Status") == "healthy"}
    assert done == ONCE
    stores = {"redis", "postgres", stack.settings.get("BROKER", "redis")}
    assert healthy == {*SERVICES, "auth-worker", "otp-worker", "notices", "relay", *stores}


def test_the_story_is_played_against_the_containers(stack):
    told = stack.make("demo")
    assert f"Playing against the running stack at {stack.base_url}" in told
    assert "Everything went as the help page says." in told


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_its_service_and_what_all_share(stack, service):
    look = (
        "import json, os, importlib.util as u\n"
        "print(json.dumps([sorted(os.listdir('/app')), sorted(set(os.listdir('/app/services')) - {'__pycache__'}),"
        " [name for name in ('granian', 'flask', 'twilio', 'pyotp', 'phonenumbers', 'pytest', 'pip')"
        " if u.find_spec(name)]]))"
    )
    image = f"latchkey-{service}:test"
    seen = stack.run("docker", "run", "--rm", "--network=none", "--entrypoint=python", image, "-c", look).stdout
    top, services, packages = json.loads(seen)
    assert top == ["services", "shared"]
    assert services == ["__init__.py", service]
    assert (
        packages
        == {
            "auth": ["granian", "flask", "twilio", "phonenumbers"],
            "otp": ["granian", "flask", "pyotp"],
            "notify": ["twilio"],
        }[service]
    )


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_stands_in_a_layer_of_an_image_or_in_its_settings(stack, service, tmp_path):
    # A line that every image holds is found with them, or the search saw nothing: some engines save layers compressed.
    known = (ROOT / "shared" / "keys.py").read_text().splitlines()[0]
    patterns, layers = tmp_path / "patterns", tmp_path / "layers"
    patterns.write_text("\n".join([known, PIP_MARK, *secrets_of(stack)]))
    layers.mkdir()
    search = (
        'docker save "$0" | tar -x -C "$1" && find "$1" -type f -exec gzip -cdf {} +'
        ' | grep --only-matching --text --fixed-strings --file="$2" | sort -u'
    )
    found = stack.run("sh", "-c", search, f"latchkey-{service}:test", str(layers), str(patterns)).stdout
    assert found.splitlines() == [known]


def test_containers_run_without_root_without_capabilities_and_on_a_read_only_root(stack):
    for container in stack.containers():
        host, service = container["HostConfig"], service_of(container)
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["RestartPolicy"]["Name"] == "unless-stopped", service
        user = stack.run("docker", "exec", container["Id"], "id", "-u").stdout.strip()
        assert user != "0", service


def test_no_secret_stands_in_the_environment_of_a_container(stack):
    values = secrets_of(stack)
    for container in stack.containers(running=False):
        text = "\n".join([*container["Config"]["Env"], *(container["Config"]["Cmd"] or []), *container["Args"]])
        assert not [value for value in values if value in text], service_of(container)


def test_only_the_gateway_is_published_and_on_loopback_alone(stack):
    published = {
        service_of(container): bindings
        for container in stack.containers()
        if (bindings := [bound for port in container["NetworkSettings"]["Ports"].values() for bound in port or []])
    }
    assert published == {"auth": [{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}]}


def test_the_private_network_reaches_nothing_outside(stack):
    networks = json.loads(stack.run("docker", "network", "inspect", f"{PROJECT}_inside").stdout)
    assert networks[0]["Internal"]
    outside = {
        service_of(container)
        for container in stack.containers()
        if set(container["NetworkSettings"]["Networks"]) - {f"{PROJECT}_inside"}
    }
    assert outside == {"auth", "notify", "notices"}


def test_workers_are_added_while_codes_are_under_way_and_each_is_sent_once(stack):
    ids = stack.codes_while(lambda: stack.make("scale-sms", "N=4"), count=180, pause_seconds=0.1)
    assert set(stack.inbox(ids)) == {1}
    workers = stack.containers("notify")
    assert len(workers) == 4
    logs = [stack.run("docker", "logs", worker["Id"]).stderr for worker in workers]
    assert sum("sms code sent" in log for log in logs) > 1


def test_workers_are_taken_away_while_codes_are_under_way_and_each_is_sent_once(stack):
    ids = stack.codes_while(lambda: stack.make("scale-sms", "N=1"), count=160, pause_seconds=0.06)
    assert set(stack.inbox(ids)) == {1}
    assert len(stack.containers("notify")) == 1


def test_a_worker_killed_with_9_while_it_sends_loses_no_code_and_comes_back(stack):
    files = [PRODUCTION, DEVELOPMENT, "tests/compose/twilio.yml"]
    start = ("up", "--detach", "--wait", "--no-deps", "--scale", "notify=2", "notify", "twilio")
    stack.compose(*start, files=files)
    victim = stack.containers("notify")[0]["Id"]
    # All that its user may end: everything but the container's init, which ends with its child.
    kill = ("docker", "exec", victim, "sh", "-c", "kill -9 -1")
    # All are on the queue by then, and each worker has its hands full.
    ids = stack.codes_while(lambda: stack.run(*kill, check=False), count=40, pause_seconds=0.01)
    messages = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/messages').read().decode())"
    taken = Counter(message["to"] for message in json.loads(stack.python("twilio", messages).stdout))
    assert len(taken) == len(ids)
    # What the provider took and the worker could not record any more comes twice; that is the lesser evil.
    assert sum(taken.values()) - len(ids) <= THREADS_OF_A_WORKER
    state = json.loads(stack.run("docker", "inspect", victim).stdout)[0]
    assert (state["RestartCount"], state["State"]["Running"]) == (1, True)


def test_an_order_has_a_worker_whatever_its_queue(stack):
    commands = [" ".join(container["Config"]["Cmd"] or []) for container in stack.containers()]
    for queue in (*CONSUMERS, "auth.events", "otp.events"):
        assert [command for command in commands if queue in command], queue


def test_a_second_start_finds_accounts_and_secrets_again(stack):
    before = stack.demo
    secrets = {path: path.read_text() for path in (stack.var_dir / "compose" / "secrets").iterdir()}
    stack.make("down")
    stack.make("up")
    assert stack.demo == before
    assert {path: path.read_text() for path in secrets} == secrets


@pytest.mark.parametrize(
    ("service", "missing"),
    [("notify", ["TWILIO_ACCOUNT_SID", "TWILIO_FROM", "SMTP_HOST"]), ("auth", ["PUBLIC_ORIGIN"])],
)
def test_production_starts_nothing_without_its_settings_and_names_them(stack, service, missing):
    refused = stack.compose("run", "--rm", "--no-deps", "-T", service, files=[PRODUCTION], check=False)
    assert refused.returncode != 0
    assert [name for name in missing if name in refused.stderr] == missing
