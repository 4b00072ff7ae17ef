from tests.support.auth import end_all
from tests.support.sign_in import challenge, down, log_in, sessions, trusted_token, verify


def test_otp_down_is_503_and_never_a_pass(deps, stranger, mia, tom, otp):
    token = trusted_token(stranger, otp, mia)
    end_all(deps, mia)
    challenge_id = challenge(stranger, mia)
    otp.go_down()
    down(log_in(stranger, mia), "otp")
    down(log_in(stranger, mia, device_token=token), "otp")
    down(log_in(stranger, tom), "otp")
    down(verify(stranger, challenge_id), "otp")
    assert sessions(deps, mia) == sessions(deps, tom) == []
    otp.refusal = None
    otp.expect(mia.id, "login", challenge_id)
    assert verify(stranger, challenge_id).status_code == 200  # the outage cost the challenge nothing


def test_redis_down_is_503_and_never_a_pass(stranger, mia, tom, redis_server):
    challenge_id = challenge(stranger, mia)
    redis_server.connected = False
    down(log_in(stranger, tom), "redis")
    down(log_in(stranger, tom, "wrong"), "redis")
    down(verify(stranger, challenge_id), "redis")


def test_sql_down_is_503_and_never_a_pass(deps, stranger, tom):
    with deps.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE accounts RENAME TO gone")
    down(log_in(stranger, tom), "sql")
    down(log_in(stranger, "nobody@example.com"), "sql")
