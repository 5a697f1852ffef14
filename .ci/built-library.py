"""Prints the file of Freshet's library out of what `cargo ... --message-format json` says."""

import json
import sys

for message in map(json.loads, sys.stdin):
    if message["reason"] != "compiler-artifact" or message["profile"]["test"]:
        continue
    if message["target"]["name"] == "freshet" and "lib" in message["target"]["kind"]:
        print(next(name for name in message["filenames"] if name.endswith(".rlib")))
