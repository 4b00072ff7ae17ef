"""flask-smorest with our parser, and with a document that tells what each route refuses with."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask
from flask_smorest import Api, Blueprint
from marshmallow import Schema
from werkzeug.routing import BaseConverter

from shared import openapi
from shared.bodies import Parser
from shared.openapi import Header

V = TypeVar("V", bound=Callable[..., Any])


class IdConverter(BaseConverter):
    """An opaque id in a path; anything else is 404 before a store sees it."""

    regex = r"[A-Za-z0-9_-]{1,80}"


def _id_schema(_converter: BaseConverter) -> dict[str, str]:
    return {"type": "string", "pattern": f"^{IdConverter.regex}$"}


class RestBlueprint(Blueprint):  # type: ignore[misc]  # flask-smorest ships no types
    """flask-smorest's blueprint with our parser."""

    ARGUMENTS_PARSER = Parser()

    def arguments(self, schema: type[Schema] | Schema, *, location: str = "json", **kwargs: Any) -> Any:  # noqa: ANN401 - a decorator
        """The parent's, with one schema for all requests: webargs would make one for each, at 50 µs.

        A body may be left out where it may be empty.
        """
        made = schema() if isinstance(schema, type) else schema
        kwargs.setdefault("required", any(field.required for field in made.load_fields.values()))
        decorate = super().arguments(made, location=location, **kwargs)

        def parsed(view: V) -> V:
            decorated: V = decorate(view)
            return self.refuses(*openapi.BY_PARSER[location])(decorated)

        return parsed

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Callable[..., Any] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """The parent's; a path that takes an id may hold one of nothing."""
        if view_func is not None and "<id:" in rule:
            view_func = self.refuses("not_found")(view_func)
        super().add_url_rule(rule, endpoint, view_func, **options)

    @staticmethod
    def refuses(*codes: str) -> Callable[[V], V]:
        """Document what this view refuses with, besides what its guard and all routes do; see shared.openapi."""
        return _documents("refusals", codes)

    @staticmethod
    def reads(*headers: Header) -> Callable[[V], V]:
        """Document the headers of a request that this view reads."""
        return _documents("read_headers", headers)

    @staticmethod
    def sets(status: int, *headers: Header) -> Callable[[V], V]:
        """Document the headers that an answer of this status may have."""
        return _documents("set_headers", tuple((str(status), header) for header in headers))

    @staticmethod
    def answers_in_session(view: V) -> V:
        """Document that this view answers to a live session alone, so its refusals have their status in a session."""
        apidoc = getattr(view, "_apidoc", {})
        view._apidoc = {**apidoc, "in_session": True}  # type: ignore[attr-defined]  # noqa: SLF001
        return view

    @staticmethod
    def refuses_writes(*codes: str) -> Callable[[V], V]:
        """Document what a guard refuses with where the view's method writes."""
        return _documents("write_refusals", codes)

    @staticmethod
    def _prepare_response_doc(
        doc: dict[str, Any],
        doc_info: dict[str, Any],
        *,
        api: "RestApi",
        method: str,
        **kwargs: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """Return the parent's document with a response for each status that the view refuses with.

        A schema that the view has given for such a status stays. The headers that the view reads or sets are added,
        too.
        """
        doc = Blueprint._prepare_response_doc(doc, doc_info, api=api, method=method, **kwargs)  # noqa: SLF001
        of_writes = doc_info.get("write_refusals", ()) if method in openapi.UNSAFE_METHODS else ()
        codes = [*api.refusals(method), *of_writes, *doc_info.get("refusals", ())]
        answers = {str(status): answer for status, answer in doc.get("responses", {}).items()}
        for status, refusal in openapi.responses(codes, in_session=doc_info.get("in_session", False)).items():
            given = answers.get(status)
            own = given if isinstance(given, dict) else {}  # else smorest's name for a document that is not ours
            answers[status] = {**refusal, **own, "description": refusal["description"]}
        for status, header in doc_info.get("set_headers", ()):
            headers = {**answers[status].get("headers", {}), **header.in_response()}
            answers[status] = {**answers[status], "headers": headers}
        read = {header.name: header.parameter() for header in doc_info.get("read_headers", ())}
        parameters = [*doc.get("parameters", ()), *read.values()]
        return {**doc, "responses": answers, **({"parameters": parameters} if parameters else {})}


def _documents(name: str, values: tuple[Any, ...]) -> Callable[[V], V]:
    def document(view: V) -> V:
        apidoc = getattr(view, "_apidoc", {})
        view._apidoc = {**apidoc, name: (*apidoc.get(name, ()), *values)}  # type: ignore[attr-defined]  # noqa: SLF001
        return view

    return document


class RestApi(Api):  # type: ignore[misc]  # the same
    """flask-smorest's Api; errors are ours."""

    DEFAULT_ERROR_RESPONSE_NAME = None  # each route says what it answers with

    def __init__(self, app: Flask, *, refused_always: tuple[str, ...], refused_writes: tuple[str, ...]) -> None:
        super().__init__(app)
        self._refused_always, self._refused_writes = refused_always, refused_writes
        self.register_converter(IdConverter, _id_schema)
        self.spec.components.schema(openapi.PROBLEM, schema=openapi.ProblemSchema)

    def refusals(self, method: str) -> tuple[str, ...]:
        """What every route of this method (in small letters) may refuse with."""
        writes = self._refused_writes if method in openapi.UNSAFE_METHODS else ()
        return (*openapi.BY_EVERY_ROUTE, *self._refused_always, *writes)

    def _register_error_handlers(self) -> None:
        """create_base_app has one handler for all of them."""
