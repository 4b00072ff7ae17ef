"""The brand reaches the containers, and the folder that stands in the repository is one that can be used."""

import pytest
import yaml

from deploy.local.settings import ROOT
from tests.support import auth

SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
MOUNTED = {"source": "${BRAND_FOLDER:-./deploy/brand}", "target": "/brand", "read_only": True}


@pytest.mark.parametrize("name", ["auth", "auth-worker"])
def test_what_writes_pages_and_notices_gets_all_of_the_brand(name):
    given = SERVICES[name]["environment"]
    assert {"BRAND_NAME", "SUPPORT_EMAIL", "SUPPORT_URL"} <= set(given)
    assert given["BRAND_FOLDER"] == "${BRAND_FOLDER:+/brand}"
    [mount] = [one for one in SERVICES[name]["volumes"] if isinstance(one, dict)]
    assert mount.items() >= MOUNTED.items()


@pytest.mark.parametrize("name", ["otp", "notify", "notices"])
def test_what_writes_codes_and_senders_gets_the_name(name):
    assert "BRAND_NAME" in SERVICES[name]["environment"]


def test_the_folder_of_the_repository_can_be_used():
    assert auth.settings(BRAND_FOLDER=str(ROOT / "deploy" / "brand")).brand.name == "Latchkey"
