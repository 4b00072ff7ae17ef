"""What the table of languages says is what the CLDR says."""

import subprocess
import sys

import pytest
from babel import Locale

from deploy.local.settings import ROOT
from shared.texts.languages import LANGUAGES, direction


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_its_own_name_and_the_direction_that_it_is_read_in(language):
    known = Locale.parse(language)
    assert LANGUAGES[language].casefold() == known.get_display_name().casefold()
    assert direction(language) == known.text_direction


@pytest.mark.parametrize("module", ["services.otp.domain.sms_text", "services.notify.domain.spoken"])
def test_what_writes_codes_loads_no_cldr(module):
    script = f"import sys, {module}; sys.exit(any(name.partition('.')[0] == 'babel' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
