"""The gateway as a Flask app, whatever its dependencies are."""

from collections.abc import Sequence

from flask import Flask
from prometheus_client.registry import Collector

from services.auth.deps import Deps
from services.auth.portal import blueprint as portal
from services.auth.routes import (
    account_language,
    activity,
    approvals,
    callbacks,
    cookies,
    development,
    guard,
    login,
    phone,
    reference,
    resets,
    session,
    support,
    support_resets,
    team,
    two_factor,
)
from shared import readiness
from shared.settings import Mode
from shared.web import FOR_BROWSERS, OVER_HTTPS, create_base_app

VERSION = "v1"
BLUEPRINTS = (
    login,
    session,
    two_factor,
    phone,
    account_language,
    team,
    approvals,
    activity,
    resets,
    support,
    support_resets,
    callbacks,
)

# The routes that wait for argon2 in this process.
HASHING_ROUTES = ("POST /v1/login", "POST /login", "POST /v1/reauthenticate", "POST /v1/password")


def create_app(deps: Deps, collectors: Sequence[Collector] = ()) -> Flask:
    """Wire routes to dependencies. The app's metrics hold what ``collectors`` read, besides what every service counts.

    Ready when SQL and Redis answer and the clock is right; otp's own readiness tells of an otp outage.
    """
    app, api = create_base_app(
        "auth",
        title=deps.settings.brand.name,
        version=VERSION,
        checks=readiness.checks(deps),
        docs=deps.settings.api_docs,
        form_endpoints=callbacks.TWILIO_ENDPOINTS | portal.FORM_ENDPOINTS,
        headers=FOR_BROWSERS | OVER_HTTPS if deps.settings.secure_cookies else FOR_BROWSERS,
        collectors=collectors,
        refused_always=("misdirected_request",),
        refused_writes=("origin_refused",),
    )
    app.extensions["latchkey"] = deps
    app.before_request(guard.check)
    app.after_request(cookies.deliver)
    schemes = api.spec.components
    schemes.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    schemes.security_scheme("cookie", {"type": "apiKey", "in": "cookie", "name": deps.settings.session_cookie})
    for module in BLUEPRINTS:
        api.register_blueprint(module.blueprint)
    if deps.settings.api_docs:
        app.register_blueprint(reference.blueprint)
    if deps.settings.portal:
        portal.register(app, deps.settings)
    if deps.settings.mode is Mode.DEVELOPMENT:
        app.register_blueprint(development.blueprint)
    return app
