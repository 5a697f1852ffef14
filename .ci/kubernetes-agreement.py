"""Holds rendered Kubernetes objects against each other, the configuration in them, Cargo.toml, Dockerfile and docs/SCALING.md.

Given FILE..., checks what `kubectl kustomize` wrote into each, and puts its freshet.toml beside it.
Given --custom FILE..., prints the objects that operators define, as JSON."""

import json
import pathlib
import re
import sys
import tomllib

import yaml

from limits import GRACE_MARGIN, mebibytes, memory_wanted, seconds

problems = []
NATIVE = {"v1", "apps/v1", "policy/v1", "networking.k8s.io/v1"}
PORT = int(re.search(r"FRESHET_HTTP_LISTEN=0\.0\.0\.0:(\d+)", pathlib.Path("Dockerfile").read_text())[1])
VERSION = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]["version"]


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def secret_files(config):
    """Each file that the configuration reads a secret from."""
    if isinstance(config, dict):
        if set(config) == {"file"}:
            yield config["file"]
        config = config.values()
    if isinstance(config, list | type({}.values())):
        for value in config:
            yield from secret_files(value)


def selects(selector, labels):
    return selector and selector.items() <= labels.items()


def check(path):
    def expect(holds, problem):
        if not holds:
            problems.append(f"{path}: {problem}")

    objects = {document["kind"]: document for document in documents(path)}
    expect(len(objects) == len(documents(path)), "two objects of a kind: of one of them nothing is checked")
    deployment = objects["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    selectors = {
        "Deployment": deployment["selector"]["matchLabels"],
        "Service": objects["Service"]["spec"]["selector"],
        "PodDisruptionBudget": objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    }
    if "PodMonitor" in objects:
        selectors["PodMonitor"] = objects["PodMonitor"]["spec"]["selector"]["matchLabels"]
    for kind, selector in selectors.items():
        expect(selects(selector, labels), f"{kind} does not select the pods")
    for kind, document in objects.items():
        namespace = document["metadata"].get("namespace")
        expect(kind == "Namespace" or namespace == "freshet", f"{kind} is in the namespace {namespace}")
    expect(labels["app.kubernetes.io/version"] == VERSION, f"the label of the version is not {VERSION}")
    if "ScaledObject" in objects:
        expect("replicas" not in deployment, "both the Deployment and KEDA say how many replicas")
        expect(objects["ScaledObject"]["spec"]["minReplicaCount"] > 0, "KEDA may stop the last replica")

    pod = deployment["template"]["spec"]
    (init,), (container,) = pod["initContainers"], pod["containers"]
    for one in (init, container):
        expect(one["image"].endswith(f":{VERSION}"), f"{one['name']} has not the image of {VERSION}")
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    expect(volumes.keys() == paths.keys(), "volumes and mounts differ")
    expect(volumes["config"]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"], "no such ConfigMap")
    for one in (init, container):
        expect(f"{paths['config']}/freshet.toml" in one["args"], f"{one['name']} reads another configuration")

    text = objects["ConfigMap"]["data"]["freshet.toml"]
    path.with_suffix(".toml").write_text(text)
    config = tomllib.loads(text)
    items = volumes["secrets"]["secret"]["items"]
    mounted = {f"{paths['secrets']}/{item['path']}" for item in items}
    read = set(secret_files(config))
    expect(read == mounted, f"read and not mounted, or the other way round: {sorted(read ^ mounted)}")
    expect("listen" not in config.get("http", {}), "http.listen: the image's FRESHET_HTTP_LISTEN outranks it")
    expect(container["ports"] == [{"containerPort": PORT, "name": "http"}], f"the pages are at {PORT}")
    grace = seconds(config["delivery"]["shutdown_grace"]) + GRACE_MARGIN
    expect(pod["terminationGracePeriodSeconds"] >= grace, f"pods must have {grace} seconds to stop")
    accounts = len(config["accounts"])
    wanted = memory_wanted(accounts, mebibytes(config["broker"].get("prefetch_bytes", "64MiB")))
    resources = container["resources"]
    given = mebibytes(resources["limits"]["memory"])
    expect(given >= wanted, f"{accounts} accounts may need {wanted} MiB, and a pod has {given}")
    expect(resources["requests"]["memory"] == resources["limits"]["memory"], "memory: request and limit differ")
    budget = objects["PodDisruptionBudget"]["spec"]
    expect(budget.get("maxUnavailable") == 1 and "minAvailable" not in budget, "the budget may block a drain")
    expect(objects["Service"]["spec"].get("publishNotReadyAddresses"), "no page while RabbitMQ is away")


def check_example_secret():
    (secret,) = documents(pathlib.Path("deploy/kubernetes/secret.example.yaml"))
    base = next(one for one in documents(pathlib.Path("deploy/kubernetes/base/deployment.yaml")))
    items = base["spec"]["template"]["spec"]["volumes"][1]["secret"]["items"]
    if secret["stringData"].keys() != {item["key"] for item in items}:
        problems.append("deploy/kubernetes/secret.example.yaml: not what the base mounts")


if sys.argv[1] == "--custom":
    found = [one for file in sys.argv[2:] for one in documents(pathlib.Path(file)) if one["apiVersion"] not in NATIVE]
    print(json.dumps(found))
    sys.exit()
for file in sys.argv[1:]:
    check(pathlib.Path(file))
check_example_secret()
for problem in problems:
    print(problem, file=sys.stderr)
print(f"rendered Kubernetes objects: {len(problems)} problems")
sys.exit(bool(problems))
