import pytest
import redis as redis_library
from sqlalchemy import select

from services.otp import sms_store
from services.otp.models import metadata
from shared.database import reading
from shared.keys import encode_key
from tests.support import redis_wire
from tests.support.otp import API_KEY, World

BODIES = {
    "enrollments": {"label": "ann"},
    "enrollments/enr_1/confirm": {"code": "123456", "session_id": "ses_1"},
    "verifications": {"code": "123456", "purpose": "login", "binding": "chl_1", "device_id": "dev_1"},
    "sms-challenges": {"purpose": "login", "binding": "chl_1", "phone": "+41791234567"},
    "recovery-codes": {},
    "unlock": {},
}
OPEN = {"/healthz", "/readyz"}


def routes(world: World):
    for rule in world.app.url_map.iter_rules():
        path = rule.rule
        for name in ("account_id", "enrollment_id", "message_id"):
            path = path.replace(f"<id:{name}>", "x_1")
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            yield method, path


class TestKey:
    def test_every_route_but_health_asks_for_it(self, still_world: World):
        client = still_world.app.test_client()
        seen = list(routes(still_world))
        assert len(seen) >= 13
        for method, path in seen:
            response = client.open(path, method=method)
            if path in OPEN:
                assert response.status_code == 200
            else:
                assert (response.status_code, response.json["code"]) == (401, "not_authenticated"), path

    def test_addresses_that_do_not_exist_ask_too(self, still_world: World):
        assert still_world.app.test_client().get("/no/such").status_code == 401

    @pytest.mark.parametrize(
        "header",
        ["", "Bearer", "Bearer ", f"bearer {encode_key(API_KEY)}", f"Bearer {encode_key(API_KEY)}x",
         f"Basic {encode_key(API_KEY)}", f"Bearer {encode_key(API_KEY)[:-1]}", f"Bearer new:{encode_key(API_KEY)}",
         "Bearer ü"],
    )  # fmt: skip
    def test_only_the_key_opens(self, still_world: World, header):
        response = still_world.app.test_client().get("/accounts/a/two-factor", headers={"Authorization": header})
        assert response.status_code == 401

    @pytest.mark.parametrize("key", [API_KEY, b"o" * 32])
    def test_every_key_of_the_list_opens(self, still_world: World, key):
        headers = {"Authorization": f"Bearer {encode_key(key)}"}
        assert still_world.app.test_client().get("/accounts/a/two-factor", headers=headers).status_code == 200


class TestHostileBodies:
    @pytest.mark.parametrize("path", BODIES)
    @pytest.mark.parametrize(
        "raw", [b"{", b"[]", b"null", b'"x"', b"1e999", b"\xff\xfe", b'{"a":1,"a":1}', b"[" * 5000, b"NaN"]
    )
    def test_what_is_no_object_is_400(self, still_world: World, path, raw):
        response = still_world.call("POST", f"/accounts/acc_ann/{path}", data=raw, content_type="application/json")
        assert response.status_code == 400
        assert response.mimetype == "application/problem+json"

    @pytest.mark.parametrize("path", BODIES)
    def test_a_body_over_16_kib_is_413(self, still_world: World, path):
        response = still_world.call(
            "POST", f"/accounts/a/{path}", data=b"{" + b" " * 2**20, content_type="application/json"
        )
        assert response.status_code == 413

    @pytest.mark.parametrize("path", BODIES)
    def test_another_content_type_is_415(self, still_world: World, path):
        response = still_world.call(
            "POST", f"/accounts/a/{path}", data=b"code=1", content_type="application/x-www-form-urlencoded"
        )
        assert response.status_code == 415

    @pytest.mark.parametrize("path", BODIES)
    def test_an_unknown_member_is_422(self, still_world: World, path):
        response = still_world.account("POST", path, {**BODIES[path], "surplus": 1})
        assert (response.status_code, response.json["code"]) == (422, "validation_failed")

    def test_no_route_ignores_what_it_does_not_know(self, still_world: World):
        writes = [(method, path) for method, path in routes(still_world) if method != "GET"]
        assert {method for method, _ in writes} == {"POST", "DELETE"}
        for method, path in writes:
            response = still_world.call(method, path, {"surplus": 1})
            assert "surplus" in response.json["errors"], (method, path)

    @pytest.mark.parametrize(("path", "member"), [(path, member) for path, body in BODIES.items() for member in body])
    @pytest.mark.parametrize("value", [7, True, [], {}, "a\x00b", "\ud800", "x" * 200, 1.5])
    def test_a_wrong_value_is_422(self, still_world: World, path, member, value):
        response = still_world.account("POST", path, {**BODIES[path], member: value})
        assert (response.status_code, response.json["code"]) == (422, "validation_failed")

    @pytest.mark.parametrize(("path", "member"), [
        (path, member) for path, body in BODIES.items() for member in body if member not in {"session_id", "device_id"}
    ])  # fmt: skip
    def test_a_missing_member_is_422(self, still_world: World, path, member):
        body = {name: value for name, value in BODIES[path].items() if name != member}
        assert still_world.account("POST", path, body).status_code == 422

    @pytest.mark.parametrize("account", ["a.b", "a b", "%00", "x" * 81, "ü"])
    def test_a_strange_account_id_is_404(self, still_world: World, account):
        assert still_world.call("GET", f"/accounts/{account}/two-factor").status_code == 404


def test_nothing_of_all_that_left_a_trace(still_world: World):
    still_world.settle()
    assert still_world.redis.keys() == []
    with reading(still_world.database) as connection:
        assert [table.name for table in metadata.sorted_tables if connection.execute(select(table)).first()] == []


class TestStoresDown:
    CALLS = (
        ("GET", "two-factor", None),
        ("DELETE", "two-factor", {}),
        ("GET", "attempts", None),
        *(("POST", path, body) for path, body in BODIES.items()),
    )

    @pytest.mark.parametrize(("method", "path", "body"), CALLS)
    def test_sql_down_is_503(self, world: World, method, path, body):
        world.enrol()
        for table in ("authenticators", "attempts", "verification_states"):
            world.sql(f"ALTER TABLE {table} RENAME TO gone_{table}")
        response = world.account(method, path, body)
        assert (response.status_code, response.json["code"]) == (503, "service_unavailable")
        assert response.headers["Retry-After"]

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "throttles", None),
            *(call for call in CALLS if call[1] not in {"two-factor", "attempts", "enrollments", "recovery-codes"}),
        ],
    )
    def test_redis_down_is_503_and_never_a_pass(self, world: World, redis_server, method, path, body):
        world.enrol()
        redis_server.connected = False
        if path == "verifications":
            body = {**body, "code": world.code()}
        response = world.account(method, path, body)
        assert (response.status_code, response.json["code"]) == (503, "service_unavailable")
        redis_server.connected = True
        assert world.verify(world.code()).status_code == 200  # the code was not used up

    def test_a_redis_that_fails_halfway_is_no_pass(self, world: World, monkeypatch, notify_keys):
        """The count went through, the claim of the SMS passcode did not."""
        from shared.envelope import open_envelope

        world.enrol()
        message_id = world.send_sms().json["message_id"]
        code = open_envelope(notify_keys, world.redis.get(f"notify:sealed:{message_id}")).body[-6:]

        def claim_fails(command):
            if sms_store._CLAIM.sha.encode() in command:
                raise redis_library.exceptions.TimeoutError

        redis_wire.watch(monkeypatch, world.redis, claim_fails)
        assert world.verify(code).status_code == 503


class TestHealth:
    def test_ready(self, world: World):
        response = world.app.test_client().get("/readyz")
        assert (response.status_code, response.json["parts"]) == (200, {"sql": "ok", "redis": "ok", "clock": "ok"})

    def test_says_which_part_is_down(self, world: World, redis_server):
        redis_server.connected = False
        response = world.app.test_client().get("/readyz")
        assert (response.status_code, response.json["parts"]) == (503, {"sql": "ok", "redis": "down", "clock": "ok"})


def test_the_contract_is_generated(world: World):
    document = world.call("GET", "/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert len(document["paths"]) == 12
    operations = [
        operation for path in document["paths"].values() for operation in path.values() if "responses" in operation
    ]
    assert all(operation["summary"] for operation in operations)
    for header in ("X-Request-Id", "X-Time-Left", "X-Gives-Up-At"):
        assert header in document["info"]["description"], header
