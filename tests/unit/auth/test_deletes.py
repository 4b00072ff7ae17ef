"""A repeated DELETE of something that has ended is 204 again, and records nothing."""

import pytest

from services.auth.domain.reset import Status
from services.auth.store import resets
from shared.database import reading, writing
from tests.support import ceremony
from tests.support.auth import add_device, events_in, sign_in, types_of
from tests.support.ceremony import COOL_OFF


@pytest.fixture
def reset_of(deps, sam):
    return lambda account, checks=COOL_OFF: ceremony.request_reset(deps, sam, account, checks)


@pytest.fixture
def paths(deps, ann, reset_of):
    """Something that ends for each route: a call makes it, and gives its path."""
    return {
        "/v1/two-factor/resets/{reset_id}": lambda: f"/v1/two-factor/resets/{reset_of(ann).id}",
        "/v1/sessions": lambda: sign_in(deps, ann) and "/v1/sessions?keep=current",
        "/v1/sessions/{session_id}": lambda: f"/v1/sessions/{sign_in(deps, ann)[0].id}",
        "/v1/trusted-devices": lambda: add_device(deps, ann, "one") and "/v1/trusted-devices",
        "/v1/trusted-devices/{device_id}": lambda: f"/v1/trusted-devices/{add_device(deps, ann, 'other')}",
        "/v1/phone": lambda: "/v1/phone",
        "/v1/two-factor": lambda: "/v1/two-factor",
        "/v1/two-factor/enrollment": lambda: "/v1/two-factor/enrollment",
    }


def test_every_delete_is_204_again(deps, api, ann, paths):
    documented = api().get("/openapi.json").json["paths"]
    # Not the row of strangers' wrong codes: a repeat is one more word of the owner, and needs a known browser.
    others = {"/v1/two-factor/wrong-codes"}
    assert paths.keys() | others == {path for path, operations in documented.items() if "delete" in operations}
    for name, make in paths.items():
        path = make()
        assert api(ann).delete(path).status_code == 204, name
        # Another session repeats it, so no kept answer serves.
        caller, before = api(ann), (types_of(deps, ann), len(events_in(deps)))
        answer = caller.delete(path)
        assert (answer.status_code, answer.data) == (204, b""), name
        # All devices: each order is recorded, whatever there is. All sessions: the other session is one to end.
        if name not in {"/v1/trusted-devices", "/v1/sessions"}:
            assert (types_of(deps, ann), len(events_in(deps))) == before, name
        assert caller.get("/v1/session").status_code == 200, name


def status_of(deps, reset):
    with reading(deps.database) as connection:
        return resets.by_id(connection, reset.id).status


@pytest.mark.parametrize("status", Status)
def test_a_reset_that_has_removed_nothing_is_over_for_its_owner(deps, api, ann, reset_of, status):
    reset = reset_of(ann)
    with writing(deps.database) as connection:
        resets.move(connection, reset.id, [reset.status], status)
    before = types_of(deps, ann)
    answer = api(ann).delete(f"/v1/two-factor/resets/{reset.id}")
    if status in {Status.APPROVED, Status.APPLIED}:
        assert (answer.status_code, answer.json["code"]) == (409, "reset_not_open")
    else:
        assert answer.status_code == 204
    if status in {Status.CANCELLED, Status.ENDED, Status.APPROVED, Status.APPLIED}:
        assert types_of(deps, ann) == before
        assert status_of(deps, reset) is status


def test_one_that_an_operator_cancels_meanwhile_is_over(deps, api, ann, sue, reset_of):
    reset = reset_of(ann)
    cancel = f"/v1/support/accounts/{ann.id}/two-factor-resets/{reset.id}/cancel"
    assert api(sue).post(cancel).status_code == 200
    assert api(ann).delete(f"/v1/two-factor/resets/{reset.id}").status_code == 204
    assert types_of(deps, ann).count("two_factor.reset_cancelled") == 1


def test_nobody_else_hears_of_it(api, ann, owner, reset_of):
    path = f"/v1/two-factor/resets/{reset_of(ann).id}"
    assert api(ann).delete(path).status_code == 204
    assert api(owner).delete(path).status_code == 404
