from dataclasses import replace
from datetime import timedelta

import pytest


@pytest.fixture
def path(ann):
    return f"/v1/support/accounts/{ann.id}/identity-checks"


@pytest.fixture
def begin(api, sam, path):
    return lambda check, operator=sam, **more: api(operator).post(path, {"check": check, **more})


@pytest.fixture
def settled_days(app, deps):
    """The periods of production from here on."""
    times = replace(deps.settings.reset_times, settled=timedelta(days=7), code_login=timedelta(days=1))
    real = replace(deps, settings=replace(deps.settings, reset_times=times))
    app.extensions["latchkey"] = real
    return real
