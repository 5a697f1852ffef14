"""Prints the notes of a release: its section of CHANGELOG.md.

    release-notes.py v0.1.0

Fails where the tag, Cargo.toml, Cargo.lock and CHANGELOG.md do not speak of one version.
"""

import pathlib
import re
import sys
import tomllib


def notes(changelog, version):
    """The section of a version, with its date; an error where it is missing, undated or empty."""
    parts = re.split(r"^## ", changelog, flags=re.MULTILINE)
    for part in parts[1:]:
        head, _, body = part.partition("\n")
        if not head.startswith(f"[{version}]"):
            continue
        if not re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d{{2}}-\d{{2}}", head):
            raise SystemExit(f"CHANGELOG.md: `## {head}` should be `## [{version}] - YEAR-MONTH-DAY`")
        # Links at the end belong to the whole file.
        body = re.split(r"^\[[^\]]+\]: ", body, maxsplit=1, flags=re.MULTILINE)[0].strip()
        if not body:
            raise SystemExit(f"CHANGELOG.md: the section of {version} is empty")
        return body
    raise SystemExit(f"CHANGELOG.md has no section `## [{version}] - YEAR-MONTH-DAY`")


def main():
    if len(sys.argv) != 2 or not re.fullmatch(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", sys.argv[1]):
        raise SystemExit("usage: release-notes.py v0.1.0")
    version = sys.argv[1].removeprefix("v")
    found = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]["version"]
    if found != version:
        raise SystemExit(f"the tag says {version}, Cargo.toml says {found}")
    lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())["package"]
    locked = next(package["version"] for package in lock if package["name"] == "freshet")
    if locked != version:
        raise SystemExit(f"the tag says {version}, Cargo.lock says {locked}")
    print(notes(pathlib.Path("CHANGELOG.md").read_text(), version))


if __name__ == "__main__":
    main()
