"""What a stop and the memory of a replica must be given, for all files that limit them."""

import pathlib
import re

# Seconds beyond delivery.shutdown_grace.
GRACE_MARGIN = 5


def seconds(duration):
    return int(re.fullmatch(r"(\d+)s", duration)[1])


def mebibytes(size):
    number, unit = re.fullmatch(r"(\d+)([MG])(?:i|iB)?", size).groups()
    return int(number) * (1024 if unit == "G" else 1)


def memory_wanted(accounts, prefetch_bytes):
    """The formula of docs/SCALING.md, in MiB."""
    text = pathlib.Path("docs/SCALING.md").read_text()
    formula = re.search(r"(\d+) MiB \+ accounts × (\d+) MiB \+ (\d+) × min\(accounts, (\d+)\) × prefetch_bytes", text)
    fixed, account, copies, lanes = map(int, formula.groups())
    return fixed + accounts * account + copies * min(accounts, lanes) * prefetch_bytes
