"""make sbom: a CycloneDX document for each image, of the Python packages that it holds, in var/sbom.

Packages of the base image (Python, Debian) are not in it; a scanner of images lists those.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from deploy.local.settings import ROOT, LocalSettings
from deploy.supplies.requirements import IMAGES, of_image


def main() -> int:
    """Write them all, each checked against the schema of CycloneDX by its maker. Raises CalledProcessError."""
    folder = LocalSettings.from_env().var_dir / "sbom"
    folder.mkdir(parents=True, exist_ok=True)
    tool = Path(sys.executable).with_name("cyclonedx-py")
    for service in IMAGES:
        path = folder / f"{service}.cdx.json"
        options = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--validate", "-o", str(path)]
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}  # it misses a graph, which requirements don't hold
        subprocess.run([tool, "requirements", *options, "-"], input=of_image(service), text=True, check=True, env=quiet)
        print(f"{path}: {len(json.loads(path.read_text())['components'])} packages, valid")
    return 0


if __name__ == "__main__":
    sys.exit(main())
