import pytest

from shared.keys import encode_key
from shared.settings import Environment, Mode, SettingsError, StoreSettings

KEY = f"k1:{encode_key(b'k' * 32)}"


def test_every_fault_is_reported_at_once_and_no_value_is_shown(tmp_path):
    env = Environment(
        {
            "NUMBER": "many-hunter2",
            "SMALL": "0",
            "WORD": "hunter2",
            "KEYS": "k1:hunter2",
            "LATCHKEY_ENV": "hunter2",
            "GONE_FILE": str(tmp_path / "nowhere"),
        }
    )
    env.text("MISSING")
    env.secret("SECRET")
    env.integer("NUMBER")
    env.integer("SMALL", minimum=1)
    env.choice("WORD", ("a", "b"))
    env.keys("KEYS")
    env.secret("GONE")
    env.fault("A and B go together")
    with pytest.raises(SettingsError) as error:
        env.done()
    words = str(error.value)
    faults = ["MISSING is not set", "SECRET is not set", "NUMBER must be", "SMALL must be", "WORD must be one of a, b"]
    for name in (*faults, "KEYS ", "GONE_FILE cannot be read", "A and B go together"):
        assert name in words
    assert "hunter2" not in words


def test_a_mode_that_we_do_not_know_is_a_fault_and_not_development():
    env = Environment({"LATCHKEY_ENV": "staging"})
    assert env.mode() is Mode.PRODUCTION
    with pytest.raises(SettingsError, match="LATCHKEY_ENV"):
        env.done()


def test_nothing_wrong_nothing_raised():
    env = Environment({"A": "x", "N": "7", "K": KEY, "LATCHKEY_ENV": "development"})
    assert (env.text("A"), env.integer("N"), env.mode()) == ("x", 7, Mode.DEVELOPMENT)
    assert env.keys("K").newest.id == "k1"
    env.done()


def test_production_unless_said_otherwise():
    assert Environment({}).mode() is Mode.PRODUCTION


def test_a_secret_has_no_default_and_an_empty_one_is_none():
    for variables in ({}, {"S": ""}, {"S": "", "S_FILE": ""}):
        env = Environment(variables)
        env.secret("S")
        with pytest.raises(SettingsError, match="S is not set"):
            env.done()
    assert Environment({}).optional_secret("S") is None


def test_defaults_are_taken_when_a_setting_is_absent():
    env = Environment({})
    assert (env.text("A", "x"), env.integer("N", 3), env.choice("C", ("a", "b"), "b")) == ("x", 3, "b")
    assert (env.integer("Z", 0), env.optional("O"), env.text("E", "")) == (0, None, "")
    env.done()


@pytest.mark.parametrize("raw", ["-1", "+1", "1.0", "1_0", " 1", "٧", "0x10", "1e3", "²"])
def test_a_whole_number_is_ascii_digits(raw):
    env = Environment({"N": raw})
    env.integer("N")
    with pytest.raises(SettingsError, match="whole number"):
        env.done()


def test_a_file_may_hold_the_value_and_goes_before_the_variable(tmp_path):
    file = tmp_path / "secret"
    file.write_text("  from the file\n", encoding="utf-8")
    env = Environment({"S_FILE": str(file), "S": "from the variable"})
    assert env.secret("S").reveal() == "from the file"
    env.done()


def test_an_empty_file_sets_nothing(tmp_path):
    file = tmp_path / "secret"
    file.write_text("\n", encoding="utf-8")
    env = Environment({"S_FILE": str(file)})
    env.secret("S")
    with pytest.raises(SettingsError, match="S is not set"):
        env.done()


def test_a_file_that_is_no_text_is_a_fault_among_the_others(tmp_path):
    file = tmp_path / "secret"
    file.write_bytes(b"\xff\xfe\x00")
    env = Environment({"S_FILE": str(file)})
    env.secret("S")
    env.text("MISSING")
    with pytest.raises(SettingsError) as error:
        env.done()
    assert "S_FILE cannot be read" in str(error.value)
    assert "MISSING is not set" in str(error.value)


def test_the_environment_of_the_process_is_read_when_none_is_given(monkeypatch):
    monkeypatch.setenv("LATCHKEY_TEST_WORD", "x")
    assert Environment().text("LATCHKEY_TEST_WORD") == "x"


def test_both_stores_are_one_server_unless_said_otherwise():
    one = StoreSettings.read(Environment({"REDIS_URL": "redis://one"}))
    assert (one.state_url.reveal(), one.broker_url.reveal()) == ("redis://one", "redis://one")
    two = StoreSettings.read(Environment({"REDIS_URL": "redis://one", "BROKER_URL": "redis://two"}))
    assert (two.state_url.reveal(), two.broker_url.reveal()) == ("redis://one", "redis://two")
    env = Environment({"LATCHKEY_ENV": "development", "STATE_REDIS_URL": "redis://s", "BROKER_URL": "redis://b"})
    StoreSettings.read(env)
    env.done()
    assert "redis://" not in repr(two)


DEVELOPMENT_KEY = f"k2:{encode_key(b'k' * 32)},dev1:{encode_key(b'd' * 32)}"


@pytest.mark.parametrize("mode", [{}, {"LATCHKEY_ENV": "production"}, {"LATCHKEY_ENV": "developmint"}])
def test_a_development_key_serves_in_development_only(mode):
    env = Environment({"K": DEVELOPMENT_KEY, **mode})
    env.keys("K")
    with pytest.raises(SettingsError, match="K holds the development key dev1") as error:
        env.done()
    assert encode_key(b"d" * 32) not in str(error.value)
    env = Environment({"K": DEVELOPMENT_KEY, "LATCHKEY_ENV": "development"})
    assert env.keys("K").newest.id == "k2"
    env.done()


def test_secrets_of_others_are_a_list_too():
    env = Environment({"S": "new, old", "ONE": "only"})
    assert [secret.reveal() for secret in env.secrets("S")] == ["new", "old"]
    assert [secret.reveal() for secret in env.optional_secrets("ONE")] == ["only"]
    assert env.optional_secrets("NONE") == ()
    env.done()


@pytest.mark.parametrize("value", ["", "hunter2,", ",hunter2", "hunter2,,x"])
def test_a_list_of_secrets_has_no_gap(value):
    env = Environment({"S": value})
    assert len(env.secrets("S")) == 1
    with pytest.raises(SettingsError, match="S ") as error:
        env.done()
    assert "hunter2" not in str(error.value)
