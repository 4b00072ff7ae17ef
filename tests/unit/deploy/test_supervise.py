import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from deploy.local.control import Control
from deploy.local.keys import load_or_make_keys
from deploy.local.programs import ANNOUNCE, Program, programs_of
from deploy.local.settings import ROOT, LocalSettings
from deploy.local.supervise import WRONG_SETTINGS
from deploy.local.supervisor_conf import write_conf

# Stands for make: starts a command, with its own pid as the last argument, and waits.
WAIT = "import os, subprocess, sys; sys.exit(subprocess.call([*sys.argv[1:], str(os.getpid())]))"

# Stands for a test run in the background of a script: SIGINT is ignored, and blocked while a process is started.
WAIT_IN_BACKGROUND = """
import os, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
started = subprocess.Popen([*sys.argv[1:], str(os.getpid())])
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
sys.exit(started.wait())
"""

# A program with a child that ignores polite requests, as a server whose worker hangs.
FAMILY = """
import os, signal, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    time.sleep(60)
"""


def fake(name):
    return Program(name, "launcher", lambda _: [])


@pytest.fixture
def settings():
    # Not tmp_path, whose name is so long that the socket would get a folder of its own.
    with tempfile.TemporaryDirectory(prefix="lk") as folder:
        made = LocalSettings.from_env({"VAR_DIR": f"{folder}/100% var"})
        made.log_dir.mkdir(parents=True)
        yield made


# A program whose setting is wrong: at once, or after it has run for a while.
REFUSES = """
import os, sys, time
time.sleep(float(os.environ.get("AFTER", "0")))
print("settings: PORTAL must be one of on, off", flush=True)
print("[ERROR] Unexpected exit from worker-1", flush=True)
sys.exit(os.EX_CONFIG)
"""


@contextlib.contextmanager
def supervised(settings, wait=WAIT):
    """A process that waits for a supervisor of two programs; the leader of the session in which all of them run."""
    script = settings.var_dir / "family.py"
    script.write_text(FAMILY)
    write_conf(settings, [fake("one"), fake("two")], None, settings.var_dir, (sys.executable, str(script)))
    command = [sys.executable, "-c", wait, sys.executable, "-m", "deploy.local.supervise", str(settings.conf_file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as waiting:
        try:
            wait_for(lambda: set(states(settings).values()) == {"RUNNING"})
            wait_for(lambda: len(session(waiting.pid)) == 6)
            yield waiting
        finally:
            for process in session(waiting.pid):
                with contextlib.suppress(psutil.NoSuchProcess):  # it may end by itself just now
                    process.kill()


def supervisor_of(waiting):
    return psutil.Process(waiting.pid).children()[0]


def states(settings):
    with contextlib.suppress(OSError):
        return Control(settings.conf_file).states()
    return {}


def session(leader):
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_leaves_no_process(settings, number):
    settings.ready_file.touch()
    with supervised(settings) as waiting:
        supervisor_of(waiting).send_signal(number)
        assert waiting.wait(20) == 0
        assert session(waiting.pid) == []
        said = waiting.stdout.read().splitlines()
    assert [line.split()[1] for line in said] == ["stopping", "stopped."]
    assert str(settings.var_dir) in said[1]
    assert not settings.ready_file.exists()


def test_a_closed_terminal_leaves_no_process_and_no_folder_of_a_long_socket_name(tmp_path):
    settings = LocalSettings.from_env({"VAR_DIR": str(tmp_path / ("v" * 100))})
    settings.log_dir.mkdir(parents=True)
    with supervised(settings) as waiting:
        line = next(line for line in settings.conf_file.read_text().splitlines() if line.startswith("file="))
        folder = Path(line.removeprefix("file=")).parent
        assert len(line) < 100
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        supervisor_of(waiting).send_signal(signal.SIGHUP)
        assert waiting.wait(20) == 0
        assert session(waiting.pid) == []
    assert not folder.exists()


def test_it_ends_when_the_process_that_waits_for_it_is_killed(settings):
    with supervised(settings) as waiting:
        waiting.kill()
        wait_for(lambda: session(waiting.pid) == [])


def test_it_stays_with_a_caller_in_the_background_that_is_starting_a_process(settings):
    with supervised(settings, WAIT_IN_BACKGROUND) as waiting:  # its programs run for a second: it has looked by then
        assert waiting.poll() is None
        assert set(states(settings).values()) == {"RUNNING"}


def test_a_killed_program_is_started_again_and_its_child_does_not_stay(settings):
    with supervised(settings) as waiting:
        control = Control(settings.conf_file)
        before = control.pid_of("one")
        family = [psutil.Process(before), *psutil.Process(before).children()]
        assert len(family) == 2
        psutil.Process(before).kill()
        wait_for(lambda: control.pid_of("one") not in {0, before})
        wait_for(lambda: not set(family) & set(session(waiting.pid)))
        supervisor_of(waiting).terminate()
        printed, _ = waiting.communicate(timeout=20)
    assert "one ended unexpectedly" in printed
    assert "one.log" in printed


@pytest.mark.parametrize("after", ["0", "1.5"])
def test_a_program_that_refuses_its_settings_stops_the_start_with_its_sentence(settings, after, monkeypatch):
    monkeypatch.setenv("AFTER", after)
    script = settings.var_dir / "refuses.py"
    script.write_text(f"import sys\nif sys.argv[1] == 'two':\n    import time; time.sleep(60)\n{REFUSES}")
    write_conf(settings, [fake("one"), fake("two")], None, settings.var_dir, (sys.executable, str(script)))
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.supervise", str(settings.conf_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (WRONG_SETTINGS, "latchkey: PORTAL must be one of on, off\n")
    starts = (settings.log_dir / "supervisord.log").read_text().count("spawned: 'one'")
    assert starts == 1


def test_in_a_stack_that_runs_the_other_programs_go_on(settings):
    settings.ready_file.touch()
    with supervised(settings) as waiting:
        control = Control(settings.conf_file)
        (settings.var_dir / "family.py").write_text(REFUSES)
        psutil.Process(control.pid_of("one")).kill()
        wait_for(lambda: control.states() == {"one": "FATAL", "two": "RUNNING"})
        supervisor_of(waiting).terminate()
        printed, _ = waiting.communicate(timeout=20)
    assert "one is not started again: PORTAL must be one of on, off" in printed
    assert "giving up" not in printed


def test_single_programs_stop_and_start_on_request(settings):
    with supervised(settings):
        control = Control(settings.conf_file)
        control.stop_program("two")
        assert control.pid_of("two") == 0
        assert control.states() == {"one": "RUNNING", "two": "STOPPED"}
        control.start_program("two")
        assert control.pid_of("two") > 0


def test_neither_configuration_nor_arguments_hold_a_secret(settings):
    keys, _ = load_or_make_keys(settings.keys_file)
    secrets = [value.partition(":")[2] for value in keys.values()]
    write_conf(settings, programs_of(settings), ANNOUNCE, settings.var_dir / "console")
    text = settings.conf_file.read_text()
    text += "\n".join(" ".join(program.argv(settings)) for program in programs_of(settings))
    assert not [secret for secret in secrets if secret in text]
    assert stat.S_IMODE(settings.conf_file.stat().st_mode) == 0o600
