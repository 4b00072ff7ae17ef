import os

import pytest

from deploy.attack.stage import SETTINGS
from deploy.local.ports import free_port
from deploy.local.stack import running_stack
from tests.support.mutations import groups, mutated_tree


@pytest.fixture
def mutated_stack(request, tmp_path, monkeypatch):
    """A stack of a tree in which the guards of a group are off."""
    mutations = groups()[request.param]
    with running_stack(tmp_path / "var", free_port(5), SETTINGS, root=mutated_tree(tmp_path, mutations)) as stack:
        # What attacks it finds the settings where an operator's shell would have them.
        for name, value in SETTINGS.items():
            monkeypatch.setitem(os.environ, name, value)
        yield stack, mutations
