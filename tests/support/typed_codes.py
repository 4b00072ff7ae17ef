"""Examples of what people type or paste as a code. The pages' scripts and their forms must read them alike."""

import json
from pathlib import Path

EXAMPLES = json.loads(Path(__file__).with_name("typed_codes.json").read_text(encoding="utf-8"))
# A code that can be read, and why none can be read.
CLEAR = [(one["typed"], one["code"]) for one in EXAMPLES if "code" in one]
UNCLEAR = [(one["typed"], one["cause"]) for one in EXAMPLES if "code" not in one]
PASSCODES = [(typed, code) for typed, code in CLEAR if len(code) == 6]
BACKUP_CODES = [(typed, code) for typed, code in CLEAR if len(code) > 6]
