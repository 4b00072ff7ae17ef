import os
import subprocess
import sys

from deploy.local.keys import KEYS
from deploy.local.settings import ROOT


def operate(*command, **environ):
    environment = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(
        [sys.executable, "-m", "deploy.local.operate", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_command_is_told_where_the_stack_is_and_no_key(tmp_path):
    (tmp_path / "shown.py").write_text("import os\nfor pair in os.environ.items(): print('='.join(pair))\n")
    secrets = dict.fromkeys(KEYS, "a secret")
    where = {"PORT": "9080", "VAR_DIR": str(tmp_path / "var"), "BROKER_URL": "amqp://broker//"}
    shown = operate("shown", PYTHONPATH=str(tmp_path), **where, **secrets).stdout
    assert {"REDIS_URL=redis://127.0.0.1:9082/0", "BROKER_URL=amqp://broker//"} <= set(shown.splitlines())
    assert "a secret" not in shown


def test_the_queues_of_a_stack_that_does_not_run_are_a_table_of_question_marks_and_a_sentence():
    done = operate("shared.queues", PORT="1")
    assert done.returncode == 1
    assert "the broker does not answer\nthe state Redis does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_impossible_port_is_a_sentence():
    done = operate("shared.queues", PORT="none")
    assert done.returncode == 2
    assert done.stderr.startswith("latchkey: PORT='none' is not a port")
