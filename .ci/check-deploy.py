"""Reads every file that a deployment is made of, and holds them against each other."""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

import yaml

from limits import GRACE_MARGIN, mebibytes, memory_wanted, seconds

RABBITMQ_CONF = pathlib.Path("deploy/rabbitmq/rabbitmq.conf")
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


def default_of(text):
    """What stands in the place of variables that are not set."""
    return re.sub(r"\$\{\w+:-(.+?)\}", r"\1", text)


def check_compose():
    path = pathlib.Path("docker-compose.yml")
    (compose,) = documents(path)
    services = compose["services"]
    for name, service in services.items():
        for dependency in service.get("depends_on", {}):
            expect(dependency in services, f"{path}: {name} depends on {dependency}, which is no service")
        for volume in service.get("volumes", []):
            source = default_of(volume).split(":")[0]
            there = pathlib.Path(source).exists() if source.startswith(".") else source in compose["volumes"]
            expect(there, f"{path}: {name} mounts {source}, which is missing")
    service = services["freshet"]
    # By their place in the container: a SIGHUP sees a file that was put in another's place, because its folder is mounted.
    folders = {there: pathlib.Path(here) for here, there, _ in (default_of(volume).split(":") for volume in service["volumes"])}
    for folder in folders.values():
        expect(folder.is_dir(), f"{path}: {folder} is no folder")
    mounted = {f"{there}/{file.name}" for there, folder in folders.items() for file in folder.iterdir()}
    toml = folders["/etc/freshet"] / "freshet.toml"
    config = check_configuration(toml, toml.read_text(), mounted, service["environment"])
    check_memory(path, len(config["accounts"]), config["broker"]["prefetch_bytes"], service["mem_limit"].replace("m", "Mi"))
    limit = mebibytes(service["mem_limit"].replace("m", "M"))
    told = re.search(r"`mem_limit` of (\d+) MiB carries (\d+) accounts", pathlib.Path("deploy/README.md").read_text())
    most = next(n for n in range(1000) if memory_wanted(n + 1, mebibytes(config["broker"]["prefetch_bytes"])) > limit)
    expect((int(told[1]), int(told[2])) == (limit, most), f"deploy/README.md: {limit} MiB carry {most} accounts of {toml}")
    log = int(re.search(r"^raft.wal_max_size_bytes = (\d+)$", RABBITMQ_CONF.read_text(), re.MULTILINE)[1]) // 1024**2
    given = mebibytes(services["rabbitmq"]["mem_limit"].replace("g", "G"))
    expect(given >= 3 * log, f"{path}: rabbitmq has {given} MiB for a write-ahead log of {log} MiB")
    # Where deploy/README.md has people put real keys.
    for name in (".env", "deploy/compose/secrets/globex_api_key"):
        ignored = subprocess.run(["git", "check-ignore", "--quiet", name], check=False).returncode == 0
        expect(ignored, f".gitignore: {name} could be committed")


def check_memory(where, accounts, prefetch_bytes, limit):
    wanted = memory_wanted(accounts, mebibytes(prefetch_bytes))
    expect(mebibytes(limit) >= wanted, f"{where}: {accounts} accounts may need {wanted} MiB, and the limit is {limit}")


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
    check_memory(path, int(accounts), prefetch_bytes, setting["MemoryMax"])
    credentials = f"/run/credentials/{path.name}/{setting['LoadCredential'].split(':')[0]}_"
    secrets = [config["broker"]["url"], *(account[key] for account in config["accounts"] for key in ("api_key", "app_token"))]
    expect(all(one["file"].startswith(credentials) for one in secrets), f"{path}: not where {credentials}* are read")


def check_definitions():
    """RabbitMQ's users have the permissions that docs/RABBITMQ.md tells people to grant, and no tag that lets them do more."""
    path = pathlib.Path("deploy/rabbitmq/definitions.json")
    definitions = json.loads(path.read_text())
    page = " ".join(pathlib.Path("docs/RABBITMQ.md").read_text().replace("\\\n", " ").split())
    for each in definitions["permissions"]:
        command = f"set_permissions -p / {each['user']} '{each['configure']}' '{each['write']}' '{each['read']}'"
        expect(command in page, f"{path}: docs/RABBITMQ.md does not say {command}")
    for user in definitions["users"]:
        expect(set(user["tags"]) <= {"monitoring"}, f"{path}: {user['name']} may change what it should not")


def check_alerts():
    """Each alert has a section in the runbook, a link to it, a test in which it fires, and one in which it does not."""
    folder = pathlib.Path("deploy/prometheus")
    (alerts,) = documents(folder / "alerts.yml")
    (tests,) = documents(folder / "alerts_test.yml")
    runbook = pathlib.Path("docs/RUNBOOK.md").read_text().splitlines()
    headings = {line.lstrip("# ").strip() for line in runbook if line.startswith("#")}
    cases = [case for test in tests["tests"] for case in test["alert_rule_test"]]
    rules = [rule for group in alerts["groups"] for rule in group["rules"] if "alert" in rule]
    names = {rule["alert"] for rule in rules}
    for path in sorted((pathlib.Path("README.md"), pathlib.Path("deploy/README.md"), *pathlib.Path("docs").glob("*.md"))):
        for name in set(re.findall(r"\bFreshet[A-Z]\w+", path.read_text())) - names:
            problems.append(f"{path}: {name} is no alert")
    for rule in rules:
        name = rule["alert"]
        expect(name in headings, f"docs/RUNBOOK.md: no section {name}")
        link = f"http://localhost:9464/runbook#{name.lower()}"
        expect(rule["annotations"]["runbook_url"] == link, f"{folder}: {name} does not link to {link}")
        expect(rule["labels"]["severity"] in ("critical", "warning", "info"), f"{folder}: {name} has no known severity")
        fires = {bool(case.get("exp_alerts")) for case in cases if case["alertname"] == name}
        expect(True in fires, f"{folder}: no test in which {name} fires")
        expect(False in fires, f"{folder}: no test in which {name} does not fire")


if "--write" in sys.argv:
    PROMETHEUS_RULE.write_text(prometheus_rule())
check_compose()
check_prometheus_rule()
check_systemd()
check_definitions()
check_alerts()
for workflow in sorted(pathlib.Path(".github/workflows").glob("*.yml")):
    expect(documents(workflow), f"{workflow}: empty")
for problem in problems:
    print(problem, file=sys.stderr)
print(f"deployment files: {len(problems)} problems")
sys.exit(bool(problems))
