import pytest

from tests.support.desk import Desk


@pytest.fixture
def desk(deps, api, ann, sam, sue):
    return Desk(deps, sam, sue, ann, api(sam), api(sue))
