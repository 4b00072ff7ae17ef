"""Alembic's entry; everything else is in shared.migrations."""

from services.auth.models import metadata
from shared.migrations import run_env

run_env(metadata)
