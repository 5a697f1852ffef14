"""Reads every file that a deployment is made of, and holds them against each other."""

import pathlib
import re
import sys
import tomllib

import yaml

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


def seconds(duration):
    return int(duration.removesuffix("s"))


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


def mebibytes(size):
    return int(re.fullmatch(r"(\d+)Mi(?:B)?", size)[1])


def check_kubernetes():
    folder = pathlib.Path("deploy/kubernetes")
    objects = {}
    for path in sorted(folder.glob("*.yaml")):
        for document in documents(path):
            expect({"apiVersion", "kind", "metadata"} <= document.keys(), f"{path}: no Kubernetes object")
            objects[document["kind"], document["metadata"]["name"]] = document
    deployment = objects["Deployment", "freshet"]
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    for kind in ("Deployment", "PodDisruptionBudget"):
        selected = objects[kind, "freshet"]["spec"]["selector"]["matchLabels"].items()
        expect(selected <= labels, f"{folder}: {kind} selects no pod")
    expect(objects["Service", "freshet"]["spec"]["selector"].items() <= labels, f"{folder}: Service selects no pod")

    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    expect(volumes.keys() == paths.keys(), f"{folder}: volumes and mounts differ")
    secret = objects["Secret", volumes["secrets"]["secret"]["secretName"]]["stringData"]
    mounted = {f"{paths['secrets']}/{key}" for key in secret}
    environment = {variable["name"]: variable for variable in container["env"]}
    for variable in container["env"]:
        key = variable.get("valueFrom", {}).get("secretKeyRef")
        expect(key is None or key["key"] in secret, f"{folder}: {variable['name']} wants a key that no Secret has")
    config = objects["ConfigMap", volumes["config"]["configMap"]["name"]]["data"]["freshet.toml"]
    config = check_configuration(folder / "configmap.yaml", config, mounted, environment)
    grace = seconds(config["delivery"]["shutdown_grace"])
    expect(pod["terminationGracePeriodSeconds"] > grace, f"{folder}: pods are killed before the shutdown grace is over")
    # All accounts together hold eight times what one may; the other half is for what is not events.
    events = 8 * mebibytes(config["broker"].get("prefetch_bytes", "64MiB"))
    limit = mebibytes(container["resources"]["limits"]["memory"])
    expect(events <= limit / 2, f"{folder}: {events} MiB of events are too many for a pod of {limit} MiB")


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


check_compose()
check_kubernetes()
check_runbook()
for workflow in sorted(pathlib.Path(".github/workflows").glob("*.yml")):
    expect(documents(workflow), f"{workflow}: empty")
for problem in problems:
    print(problem, file=sys.stderr)
print(f"deployment files: {len(problems)} problems")
sys.exit(bool(problems))
