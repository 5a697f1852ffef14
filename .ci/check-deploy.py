"""Reads every file that a deployment is made of, and holds them against each other."""

import pathlib
import re
import sys
import tomllib

import yaml

from limits import GRACE_MARGIN, mebibytes, memory_wanted, seconds

problems = []


def expect(holds, problem):
    if not holds:
        problems.append(problem)


def documents(path):
    try:
        return [document for document in yaml.safe_load_all(path.read_text()) if document]
    except yaml.YAMLError as error:
        problems.append(f"{path}: {error}")
        return []


def check_configuration(where, text, secrets, environment):
    config = tomllib.loads(text)
    accounts = config.get("accounts", [])
    expect(accounts, f"{where}: no [[accounts]]")
    for account in accounts:
        for key in ("api_key", "app_token"):
            source = account.get(key, {})
            expect("file" in source or "env" in source, f"{where}: {account['name']}.{key} has no file and no env")
            if "file" in source:
                expect(source["file"] in secrets, f"{where}: nothing is mounted at {source['file']}")
            if "env" in source:
                expect(source["env"] in environment, f"{where}: {source['env']} is not set")
    return config


def check_compose():
    path = pathlib.Path("docker-compose.yml")
    (compose,) = documents(path)
    services = compose["services"]
    for name, service in services.items():
        for dependency in service.get("depends_on", {}):
            expect(dependency in services, f"{path}: {name} depends on {dependency}, which is no service")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            there = pathlib.Path(source).exists() if source.startswith(".") else source in compose["volumes"]
            expect(there, f"{path}: {name} mounts {source}, which is missing")
    for name, secret in compose["secrets"].items():
        expect(pathlib.Path(secret["file"]).exists(), f"{path}: the secret {name} has no file")
    for name in ("freshet", "publish"):
        service = services[name]
        mounted = {f"/run/secrets/{secret}" for secret in service["secrets"]}
        config = pathlib.Path("deploy/compose/freshet.toml")
        check_configuration(config, config.read_text(), mounted, service["environment"])


PROMETHEUS_RULE = pathlib.Path("deploy/kubernetes/components/prometheus-operator/prometheusrule.yaml")
PROMETHEUS_RULE_HEAD = """\
# Written by `python3 .ci/check-deploy.py --write` from deploy/prometheus/alerts.yml. Change that.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: freshet
  namespace: freshet
spec:
"""


def prometheus_rule():
    """The same rules as the Prometheus operator takes them."""
    lines = pathlib.Path("deploy/prometheus/alerts.yml").read_text().splitlines()
    return PROMETHEUS_RULE_HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines)


def check_prometheus_rule():
    text = PROMETHEUS_RULE.read_text() if PROMETHEUS_RULE.exists() else ""
    expect(text == prometheus_rule(), f"{PROMETHEUS_RULE}: not alerts.yml: run .ci/check-deploy.py --write")


def check_systemd():
    path = pathlib.Path("deploy/systemd/freshet.service")
    unit = path.read_text()
    config = tomllib.loads(pathlib.Path("deploy/debian/freshet.toml").read_text())
    setting = {key: value for key, value in re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE)}
    grace = seconds(config["delivery"]["shutdown_grace"]) + GRACE_MARGIN
    expect(seconds(setting["TimeoutStopSec"]) >= grace, f"{path}: the daemon must have {grace} seconds to stop")
    (accounts, prefetch_bytes) = re.search(r"(\d+) accounts with prefetch_bytes = \"(\w+)\"", unit).groups()
    expect(config["broker"]["prefetch_bytes"] == prefetch_bytes, f"{path}: reckoned with another prefetch_bytes")
    wanted = memory_wanted(int(accounts), mebibytes(prefetch_bytes))
    given = mebibytes(setting["MemoryMax"])
    expect(given >= wanted, f"{path}: {accounts} accounts may need {wanted} MiB, and MemoryMax is {given}")
    credentials = f"/run/credentials/{path.name}/{setting['LoadCredential'].split(':')[0]}_"
    secrets = [config["broker"]["url"], *(account[key] for account in config["accounts"] for key in ("api_key", "app_token"))]
    expect(all(one["file"].startswith(credentials) for one in secrets), f"{path}: not where {credentials}* are read")


def check_runbook():
    runbook = pathlib.Path("docs/RUNBOOK.md")
    if not runbook.exists():
        print(f"{runbook} is not there yet: the alerts' sections in it are not looked for")
        return
    headings = {line.lstrip("# ").strip().lower() for line in runbook.read_text().splitlines() if line.startswith("#")}
    (alerts,) = documents(pathlib.Path("deploy/prometheus/alerts.yml"))
    for group in alerts["groups"]:
        for rule in group["rules"]:
            expect(rule["alert"].lower() in headings, f"{runbook}: no section {rule['alert']}")


if "--write" in sys.argv:
    PROMETHEUS_RULE.write_text(prometheus_rule())
check_compose()
check_prometheus_rule()
check_systemd()
check_runbook()
for workflow in sorted(pathlib.Path(".github/workflows").glob("*.yml")):
    expect(documents(workflow), f"{workflow}: empty")
for problem in problems:
    print(problem, file=sys.stderr)
print(f"deployment files: {len(problems)} problems")
sys.exit(bool(problems))
