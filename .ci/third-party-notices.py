"""Prints the licences of everything that is linked into the binary: python3 .ci/third-party-notices.py > FILE

Goes through the crates of Cargo.lock that a build for this machine uses, and prints the licence files that each brings.
A crate that brings none gets the text of the licence that it names; if that text is not here either, the run fails.
"""

import json
import pathlib
import re
import subprocess
import sys

LICENCE_FILE = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicen[cs]e)", re.IGNORECASE)
ROOT = pathlib.Path(__file__).resolve().parent.parent

# For crates without a licence file. What stands first is taken where a crate offers a choice.
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
STANDARD_TEXTS = {"MIT": MIT, "Apache-2.0": (ROOT / "LICENSE").read_text()}


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def linked_packages():
    """Those that the binary needs, and what builds them; not what only the tests need."""
    host = re.search(r"^host: (.+)$", run("rustc", "-vV"), re.MULTILINE)[1]
    metadata = json.loads(run("cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={host}"))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    reached, waiting = set(), [root]
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            linked = any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
            if linked and dependency["pkg"] not in reached:
                reached.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    return sorted((packages[each] for each in reached), key=lambda package: (package["name"], package["version"]))


def own_texts(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    files = {path for path in folder.iterdir() if LICENCE_FILE.match(path.name) and path.is_file()}
    for named in ("LICENSES", "licenses"):
        files.update(path for path in (folder / named).glob("*") if path.is_file())
    if package["license_file"]:
        files.add(folder / package["license_file"])
    return [path.read_text(errors="replace").strip() for path in sorted(files)]


def standard_text(package):
    for name, text in STANDARD_TEXTS.items():
        if re.search(rf"\b{re.escape(name)}\b", package["license"] or ""):
            holders = ", ".join(package["authors"]) or f"the authors of {package['name']}"
            return [f"Copyright (c) {holders}\n\n{text.strip()}"]
    return []


def main():
    # Many crates bring the same text to the letter: each is printed once, under those that it belongs to.
    owners, without = {}, []
    packages = linked_packages()
    for package in packages:
        name = f"{package['name']} {package['version']} ({package['license']})"
        texts = own_texts(package) or standard_text(package)
        if not texts:
            without.append(name)
        for text in texts:
            owners.setdefault(text, []).append(name)
    if without:
        sys.exit("no licence text for: " + ", ".join(without))
    head = (
        f"Freshet contains {len(packages)} packages of others, which are listed here, each above its licence or licences; and\n"
        "the standard library of Rust, Copyright (c) The Rust Project Contributors, under the texts of MIT or Apache-2.0."
    )
    rule = "\n\n" + "-" * 100 + "\n\n"
    print(rule.join([head, *("\n".join(names) + "\n\n" + text for text, names in owners.items())]))


main()
