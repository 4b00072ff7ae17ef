"""Looks at the audit chain of a database."""

from datetime import timedelta

from services.auth import audit
from services.auth.domain.chain import AnchorName
from services.auth.store import chain as store
from shared.database import reading

DAY = timedelta(days=1)


def silent(_rows):
    pass


def verified(deps, anchors=None):
    return audit.verify(deps, anchors or {}, silent)


def faults_of(deps, anchors=None):
    return [(fault.kind, fault.sequence) for fault in verified(deps, anchors).faults]


def head_of(deps):
    with reading(deps.database) as connection:
        return store.anchor(connection, AnchorName.HEAD)


def rows_of(deps):
    with reading(deps.database) as connection:
        return [row for page in store.pages(connection, 0, 100) for row in page]
