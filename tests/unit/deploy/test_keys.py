import base64
import stat

from nacl.public import PrivateKey

from deploy.local.keys import KEYS, load_or_make_keys, read_keys


def raw_of(item):
    key_id, _, text = item.partition(":")
    assert key_id == "dev1"
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_every_key_is_made_with_32_bytes_and_only_its_owner_reads_them(tmp_path):
    path = tmp_path / "keys.env"
    keys, notices = load_or_make_keys(path)
    assert list(keys) == list(KEYS)
    assert {len(raw_of(value)) for value in keys.values()} == {32}
    assert len(set(keys.values())) == len(keys)
    assert mode_of(path) == 0o600
    assert read_keys(path) == keys
    assert notices == []


def test_the_public_key_is_the_half_of_the_private_key(tmp_path):
    keys, _ = load_or_make_keys(tmp_path / "keys.env")
    private = PrivateKey(raw_of(keys["NOTIFY_PRIVATE_KEYS"]))
    assert bytes(private.public_key) == raw_of(keys["NOTIFY_PUBLIC_KEY"])


def test_keys_are_kept_over_runs_to_the_byte(tmp_path):
    path = tmp_path / "keys.env"
    load_or_make_keys(path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    load_or_make_keys(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_missing_key_is_added_and_the_others_are_kept(tmp_path):
    path = tmp_path / "keys.env"
    keys, _ = load_or_make_keys(path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("JWT_SIGNING_KEYS")))
    again, notices = load_or_make_keys(path)
    assert {**again, "JWT_SIGNING_KEYS": ""} == {**keys, "JWT_SIGNING_KEYS": ""}
    assert again["JWT_SIGNING_KEYS"] != keys["JWT_SIGNING_KEYS"]
    assert len(notices) == 1
    assert "JWT_SIGNING_KEYS" in notices[0]


def test_a_public_key_of_another_pair_is_replaced_with_a_notice(tmp_path):
    path = tmp_path / "keys.env"
    keys, _ = load_or_make_keys(path)
    path.write_text(path.read_text().replace(keys["NOTIFY_PUBLIC_KEY"], keys["AUTH_DIGEST_KEYS"]))
    again, notices = load_or_make_keys(path)
    assert again == keys
    assert "NOTIFY_PUBLIC_KEY" in notices[0]


def test_a_file_that_others_may_read_is_closed_again_with_a_notice(tmp_path):
    path = tmp_path / "keys.env"
    load_or_make_keys(path)
    path.chmod(0o644)
    _, notices = load_or_make_keys(path)
    assert mode_of(path) == 0o600
    assert "0600" in notices[0]


def test_no_notice_holds_a_key(tmp_path):
    path = tmp_path / "keys.env"
    keys, _ = load_or_make_keys(path)
    path.write_text(f"NOTIFY_PRIVATE_KEYS={keys['NOTIFY_PRIVATE_KEYS']}\nNOTIFY_PUBLIC_KEY={keys['OTP_API_KEYS']}\n")
    path.chmod(0o666)
    again, notices = load_or_make_keys(path)
    assert len(notices) == 3
    assert not [value for value in (*keys.values(), *again.values()) if value in "\n".join(notices)]
