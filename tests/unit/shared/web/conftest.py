"""An app of its own for the house rules of HTTP: what holds here holds for every route of both services."""

import pytest
from flask import abort
from marshmallow import Schema, fields
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.bodies import Flag, NothingSchema, Text
from shared.problems import Refusal, Unavailable
from shared.rest import RestBlueprint
from shared.web import create_base_app
from tests.support.web import SECRET


class Args(Schema):
    text = Text(load_default="")
    count = fields.Integer(load_default=0)
    flag = Flag()


class Query(Schema):
    limit = fields.Integer(load_default=1)


def failures():
    return {
        "refused": Refusal("too_many_requests", retry_after_seconds=7, reason=SECRET, extra={"more": 1}),
        "unauthenticated": Refusal("not_authenticated"),
        "part": Unavailable("otp", retry_after_seconds=3),
        "redis": RedisConnectionError(SECRET),
        "redis-timeout": RedisTimeoutError(SECRET),
        "sql": OperationalError(SECRET, {"password": SECRET}, Exception(SECRET)),
        "sql-integrity": IntegrityError(SECRET, None, Exception(SECRET)),
        "sql-database": DatabaseError(SECRET, None, Exception(SECRET)),
        "pool": PoolTimeoutError(SECRET),
        "value": ValueError(SECRET),
        "key": KeyError(SECRET),
        "assertion": AssertionError(SECRET),
        "recursion": RecursionError(SECRET),
    }


@pytest.fixture(scope="module")
def app():
    blueprint = RestBlueprint("things", __name__)

    @blueprint.route("/echo", methods=["POST"])
    @blueprint.arguments(Args)
    def echo(args):
        return args

    @blueprint.route("/nothing", methods=["POST"])
    @blueprint.arguments(NothingSchema, required=False)
    def nothing(args):
        return {"done": True}

    @blueprint.route("/listed", methods=["GET"])
    @blueprint.arguments(Query, location="query")
    def listed(args):
        return args

    @blueprint.route("/things/<id:thing>", methods=["GET"])
    def thing(thing):
        return {"id": thing}

    @blueprint.route("/form", methods=["POST"])
    def form():
        return {"ok": True}

    @blueprint.route("/raise/<name>", methods=["GET"])
    def fail(name):
        raise failures()[name]

    @blueprint.route("/abort/<int:status>", methods=["GET"])
    def stop(status):
        abort(status, SECRET)

    @blueprint.route("/slash/", methods=["GET"])
    def slash():
        return {}

    app, api = create_base_app(
        "test",
        title="Test",
        version="v1",
        checks={"sql": lambda: None},
        docs=False,
        form_endpoints=frozenset({"things.form"}),
    )
    api.register_blueprint(blueprint)
    return app


@pytest.fixture
def client(app):
    return app.test_client()
