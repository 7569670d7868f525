"""Make the insecure development PKI and, under it, one destination's key pairs. For demo and tests only."""

# ruff: noqa: INP001 - A script beside its README, not a package.

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from hub.crypto.development import InsecureDevelopmentAuthority
from hub.crypto.keys import make_rsa_pair
from hub.files import vault


def main() -> None:
    """Read the command line, make what is missing, and say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("data/development"), help="where the files go")
    parser.add_argument("--subject", required=True, help="organisation in the certificates")
    parser.add_argument("--days", type=int, default=730, help="validity of the certificates")
    options = parser.parse_args()
    now = datetime.now(UTC)
    vault.make_folder(options.folder)
    authority = InsecureDevelopmentAuthority.load_or_create(options.folder / "authority", now=now, production=False)
    for use in ("encryption", "signing"):
        public, private = make_rsa_pair(use)
        certified = authority.issue(public, subject=options.subject, now=now, days=options.days)
        for name, document in ((f"{use}-public.json", certified), (f"{use}-private.json", private)):
            vault.write(options.folder / name, json.dumps(document, indent=1).encode("utf-8"))
        sys.stdout.write(f"{use:<10} kid {certified['kid']}  {options.folder / f'{use}-public.json'}\n")


if __name__ == "__main__":
    main()
