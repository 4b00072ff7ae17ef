"""Alembic runs this file; what it does stands in shared.migrations."""

from services.otp.models import metadata
from shared.migrations import run_env

run_env(metadata)
