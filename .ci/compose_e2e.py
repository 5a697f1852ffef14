"""The inner part of .ci/compose-e2e: runs as root of a Debian 13 tree in namespaces of its own, with the repository at /repo.

Starts a Docker engine, makes stand-ins for the images that cannot be downloaded, builds the Dockerfile, brings
docker-compose.yml up, and checks what came up. Ends with a line for each check, or with what failed.
"""

import base64
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

REPO = pathlib.Path("/repo")
HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
# What one wait may take. A machine with other work is slow; only a failure takes that long.
PATIENCE = 120
began = time.monotonic()


def done(what):
    print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)


def run(*command, may_fail=False, stdin=None, environment=None):
    """The command's standard output; with may_fail, the finished process."""
    process = subprocess.run(
        command, cwd=REPO, input=stdin, capture_output=True, text=True, env={**os.environ, **(environment or {})}
    )
    if may_fail:
        return process
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{process.stdout[-4000:]}{process.stderr[-4000:]}exit status {process.returncode}")
    return process.stdout


def expect(holds, what):
    if not holds:
        sys.exit(f"does not hold: {what}")


def equal(what, found, expected):
    expect(found == expected, f"{what} is {expected!r}, but {found!r}")


def eventually(what, found, expected):
    deadline = time.monotonic() + PATIENCE
    while (value := found()) != expected:
        if time.monotonic() > deadline:
            logs = run("docker", "compose", "logs", "--no-color", "--tail", "15", may_fail=True).stdout
            sys.exit(f"{logs}\nafter {PATIENCE} s {what} is {value!r}, and not {expected!r}")
        time.sleep(0.25)


def http(url, user=None, method="GET", body=None):
    """Status and body."""
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{user}".encode()).decode())
    if body is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError as error:
        return 0, str(error)


def read(url, user=None):
    status, body = http(url, user)
    return json.loads(body) if status == 200 else None


# --- The engine, and what stands in for the images of registries


def start_engine():
    for gone in ("/var/run/docker.pid", "/run/docker.pid"):
        pathlib.Path(gone).unlink(missing_ok=True)
    run("ip", "link", "set", "lo", "up")
    log = open("/var/log/dockerd.log", "w")
    subprocess.Popen(["dockerd"], stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE
    while run("docker", "info", may_fail=True).returncode != 0:
        if time.monotonic() > deadline:
            sys.exit(f"no Docker engine:\n{pathlib.Path('/var/log/dockerd.log').read_text()[-4000:]}")
        time.sleep(0.25)
    # What an earlier run left behind when it was killed.
    run("docker", "compose", "--profile", "example", "down", "--volumes", "--timeout", "0")


def image_exists(name):
    return run("docker", "image", "inspect", name, may_fail=True).returncode == 0


def import_tree():
    """One image of the whole tree but the engine; the stand-ins share its layer."""
    stamp = str(pathlib.Path("/.made-of").stat().st_mtime_ns)
    name = f"stand-in:{stamp}"
    if not image_exists(name):
        left_out = "repo opt proc sys dev run tmp .old var/lib/docker var/lib/containerd var/cache usr/libexec/docker"
        left_out += " usr/sbin/dockerd usr/bin/docker usr/bin/containerd usr/share/doc usr/share/locale"
        excluded = [f"--exclude=./{path}" for path in left_out.split()]
        tar = subprocess.Popen(["tar", "-C", "/", *excluded, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", name], stdin=tar.stdout, check=True, stdout=subprocess.DEVNULL)
        expect(tar.wait() == 0, "tar ends well")
    return name


def libraries():
    """What the distroless base has, as far as it matters here; out of the packages' own lists."""
    image = "stand-in-distroless"
    if not image_exists(image):
        keep = [line for line in run("dpkg", "-L", "libc6").splitlines() if "/lib" in line and not os.path.isdir(line)]
        keep += ["/etc/ssl/certs/ca-certificates.crt", "/etc/nsswitch.conf", "/lib", "/lib64", "/usr/lib64", "/etc/ld.so.cache"]
        keep = [path.lstrip("/") for path in keep if os.path.lexists(path)]
        tar = subprocess.Popen(["tar", "-C", "/", "--no-recursion", "-c", *keep], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", image], stdin=tar.stdout, check=True, stdout=subprocess.DEVNULL)
        expect(tar.wait() == 0, "tar ends well")
    return image


CARGO = r"""#!/bin/sh
# Hands over a program in place of compiling, and sees to it that the Dockerfile does not ship the empty one of its first
# step: that must have been cleaned away before the real sources come. The real cargo judges the manifest, and which files it
# names; without crates it gets no further.
set -eu
case "$1 $*" in
build*--release*--locked*)
    said="$(CARGO_HOME=/tmp/no-crates /opt/prebuilt/cargo fetch --locked --offline 2>&1)" || true
    case "$said" in
    *"you're using offline mode"*) ;;
    *) echo "$said" >&2; exit 1 ;;
    esac
    ls src/lib.rs src/main.rs >/dev/null
    mkdir -p target/release
    if [ -e src/cli/mod.rs ]; then
        ls build.rs askama.toml >/dev/null
        [ ! -e target/empty ] || { echo 'the empty program was not cleaned away' >&2; exit 1; }
        while read -r file; do
            [ -e "$file" ] || { echo "no $file to compile: does .dockerignore let it in?" >&2; exit 1; }
        done </opt/prebuilt/sources
        cp /opt/prebuilt/freshet target/release/freshet
    else
        touch target/empty target/release/freshet
    fi ;;
clean*--release*--package*freshet*) rm target/empty target/release/freshet ;;
metadata*) cat /opt/prebuilt/metadata ;;
*) echo "cargo: no stand-in for $*" >&2; exit 1 ;;
esac
"""

GRAFANA = r"""#!/bin/sh
# Says that it is healthy if it finds what Grafana needs.
set -eu
for file in /etc/grafana/provisioning/datasources/prometheus.yaml /etc/grafana/provisioning/dashboards/freshet.yaml \
    "$GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"; do test -s "$file"; done
touch /var/lib/grafana/grafana.db /tmp/writable
exec busybox httpd -f -p 3000 -h /srv
"""

# By the beginning of an image's name: on what it is based (None: the tree), and what comes on top.
STAND_INS = {
    "rust:": """
COPY opt/prebuilt /opt/prebuilt
COPY opt/crates /opt/crates
RUN printf '#!/bin/sh\\ncat /opt/prebuilt/rustc\\n' > /usr/local/bin/rustc && chmod +x /usr/local/bin/*
""",
    "gcr.io/distroless/base-nossl-debian13:": "USER 65532\n",
    "rabbitmq:": """
RUN printf '[rabbitmq_management,rabbitmq_prometheus].' > /etc/rabbitmq/enabled_plugins \\
    && mkdir -p /etc/rabbitmq/conf.d && chown -R rabbitmq:rabbitmq /var/lib/rabbitmq
ENV PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin HOME=/var/lib/rabbitmq LANG=C.UTF-8
VOLUME /var/lib/rabbitmq
ENTRYPOINT ["/usr/lib/rabbitmq/bin/rabbitmq-server"]
""",
    "prom/prometheus:": """
RUN ln -s busybox /usr/bin/wget && mkdir /prometheus && chown nobody /prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
""",
    "prom/alertmanager:": """
RUN ln -s busybox /usr/bin/wget && mkdir /alertmanager && chown nobody /alertmanager
USER nobody
WORKDIR /alertmanager
ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]
""",
    "grafana/grafana:": """
RUN ln -s busybox /usr/bin/wget && mkdir -p /srv/api /var/lib/grafana && echo ok > /srv/api/health && chown 472 /var/lib/grafana
USER 472
ENTRYPOINT ["/usr/local/bin/grafana"]
""",
}


def make_stand_ins():
    tree, distroless = import_tree(), libraries()
    bases = re.findall(r"^FROM (\S+)", (REPO / "Dockerfile").read_text(), re.MULTILINE)
    images = set(run("docker", "compose", "--profile", "*", "config", "--images").split()) | set(bases)
    for image in sorted(images - {"freshet", "scratch"}):
        beginning = next((each for each in STAND_INS if image.startswith(each)), None)
        expect(beginning, f"there is a stand-in for {image}")
        with tempfile.TemporaryDirectory() as folder:
            bin = pathlib.Path(folder, "bin")
            bin.mkdir()
            base = distroless if "distroless" in image else tree
            text = f"FROM {base}\n"
            programs = {"rust:": ("cargo", CARGO), "grafana/grafana:": ("grafana", GRAFANA)}
            if beginning in programs:
                name, program = programs[beginning]
                (bin / name).write_text(program)
                (bin / name).chmod(0o755)
                text += "COPY bin /usr/local/bin\n"
            if beginning == "rust:":
                run("cp", "-a", "/opt", folder)
            pathlib.Path(folder, "Dockerfile").write_text(text + STAND_INS[beginning])
            run("docker", "build", "--quiet", "--tag", image, folder)


# --- Checks


REVISION = "0123456789ab"
VERSION = re.search(r'^version = "(.+)"', (REPO / "Cargo.toml").read_text(), re.MULTILINE)[1]


def bring_up(*how):
    """Until every container is healthy. Of one that is not, its last words and the answers of its health check."""
    labels = {"REVISION": REVISION, "VERSION": VERSION}
    command = ["docker", "compose", "up", *how, "--detach", "--wait", "--wait-timeout", str(PATIENCE)]
    up = run(*command, may_fail=True, environment=labels)
    if up.returncode == 0:
        return
    for name in run("docker", "ps", "--all", "--format", "{{.Names}}").split():
        state = json.loads(run("docker", "inspect", "--format", "{{json .State}}", name))
        if state["Status"] != "running" or state.get("Health", {}).get("Status") != "healthy":
            answers = [each["Output"].strip() for each in (state.get("Health") or {}).get("Log") or []]
            print(name, state["Status"], state["ExitCode"], answers[-2:], flush=True)
            said = run("docker", "logs", "--tail", "25", name, may_fail=True)
            print(said.stdout[-3000:] + said.stderr[-3000:], flush=True)
    sys.exit(f"docker compose up:\n{up.stdout[-3000:]}{up.stderr[-3000:]}")


def check_image():
    (image,) = json.loads(run("docker", "image", "inspect", "freshet"))
    equal("the image's user", image["Config"]["User"], "10001:10001")
    labels = {key.removeprefix("org.opencontainers.image."): text for key, text in image["Config"]["Labels"].items()}
    equal("the image's revision", labels["revision"], REVISION)
    equal("the image's version", labels["version"], VERSION)
    equal("the image's licence", labels["licenses"], "Apache-2.0")

    alone = ["docker", "run", "--rm", "--network", "none", *HARDENED]
    expect(f"freshet {VERSION}" in run(*alone, "freshet", "--version"), f"the program is freshet {VERSION}")
    expect("arrived" in run(*alone, "freshet", "demo"), "the demo runs read-only, without capabilities and network")
    done("the image runs read-only and without capabilities")

    with tempfile.TemporaryDirectory() as folder:
        run("docker", "create", "--name", "looked-into", "freshet")
        run("docker", "cp", "looked-into:/usr/share/doc/freshet", folder)
        run("docker", "rm", "looked-into")
        documents = pathlib.Path(folder, "freshet")
        equal("its LICENSE", (documents / "LICENSE").read_text(), (REPO / "LICENSE").read_text())
        notices = (documents / "third-party-notices.txt").read_text()
        locked = set(re.findall(r'^name = "(.+)"', (REPO / "Cargo.lock").read_text(), re.MULTILINE))
        named = set(re.findall(r"^(\S+) \d+\.\d+\S* \(", notices, re.MULTILINE))
        expect({"tokio", "ring", "lapin"} <= named <= locked, "the notices name the crates that are linked in")
        done(f"it holds its licence, and those of {len(named)} crates")

        wrong = pathlib.Path(folder, "wrong.toml")
        wrong.write_text('[brokr]\n[[accounts]]\nname = "Ä"\n')
        mount = f"{wrong}:/etc/freshet/freshet.toml:ro"
        told = run(*alone, "--volume", mount, "freshet", may_fail=True)
        equal("the status after a wrong configuration", told.returncode, 64)
        expect("brokr" in told.stderr and "accounts" in told.stderr, "each mistake is told")
        done("a wrong configuration ends with 64")

        run("docker", "build", "--target", "debug", "--output", f"type=local,dest={folder}", ".")
        expect(pathlib.Path(folder, "freshet.debug").stat().st_size > 1_000_000, "the symbols can be had")
        done("the debug symbols can be had")


def check_containers():
    for name in run("docker", "ps", "--all", "--format", "{{.Names}}").split():
        (container,) = json.loads(run("docker", "inspect", name))
        host = container["HostConfig"]
        expect(host["ReadonlyRootfs"], f"{name} is read-only")
        equal(f"{name}: dropped capabilities", host["CapDrop"], ["ALL"])
        expect("no-new-privileges:true" in host["SecurityOpt"], f"{name} gets no new privileges")
        expect(host["Memory"] and host["PidsLimit"], f"{name} has limits")
        expect(host["LogConfig"]["Config"].get("max-size"), f"the log of {name} is rotated")
        for bindings in (host["PortBindings"] or {}).values():
            expect(all(each["HostIp"] == "127.0.0.1" for each in bindings), f"{name} is reached from this machine only")
        status = pathlib.Path(f"/proc/{container['State']['Pid']}/status").read_text()
        expect(re.search(r"^Uid:\t[1-9]", status, re.MULTILINE), f"{name} does not run as root")
        expect("CapEff:\t0000000000000000" in status, f"{name} has no capabilities")
    done("no container runs as root, can write where it should not, or is reached from elsewhere")


def sandbox():
    return read("http://127.0.0.1:8090/_sandbox/state") or {}


def contacts():
    return len(sandbox().get("contacts", []))


def queues():
    """Messages in each queue that has any, as the operator sees them."""
    found = read("http://127.0.0.1:15672/api/queues/%2F?disable_stats=true&enable_queue_totals=true", "freshet-operator")
    return None if found is None else {each["name"]: each["messages"] for each in found if each.get("messages")}


LEFT = {"segment.events.dead": 2, "segment.events.probe": 1}


def check_events():
    run("docker", "compose", "run", "--rm", "--no-deps", "publish")
    eventually("the queues' messages", queues, LEFT)
    state = sandbox()
    equal("contacts", len(state["contacts"]), 2)
    equal("companies", len(state["sales_accounts"]), 1)
    equal("activities", len(state["activities"]), 3)
    done("of seven events five arrive, and two are dead letters")


def freshet(user, *arguments):
    """A command in the image, beside the replicas."""
    address = f"FRESHET_BROKER_URL=amqp://{user}:{user}@rabbitmq:5672/%2f"
    command = ["docker", "compose", "run", "--rm", "--no-deps", "--env", address, "publish", *arguments]
    return run(*command, may_fail=True)


def check_permissions():
    letters = freshet("freshet-operator", "dead-letters", "list", "--all", "--json")
    expect(letters.returncode == 0 and len(letters.stdout.splitlines()) == 2, f"operators see the letters: {letters}")
    listed = freshet("freshet-publisher", "dead-letters", "list")
    expect(listed.returncode == 0, f"publishers see the letters, too: {listed}")
    refused = freshet("freshet-operator", "publish", "/examples/events.ndjson")
    expect(refused.returncode != 0, "operators cannot publish as a replica does")
    api = "http://127.0.0.1:15672/api"
    lane = "queues/%2F/segment.events.lane.acme"
    get = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    for user in ("freshet-operator", "freshet", "freshet-publisher"):
        for method, path, body in [
            ("DELETE", lane, None),
            ("DELETE", f"{lane}/contents", None),
            ("POST", f"{lane}/get", get),
            ("PUT", "queues/%2F/another", {"durable": True}),
            ("PUT", "policies/%2F/drop", {"pattern": ".*", "definition": {"max-length": 1}}),
            ("PUT", "users/another", {"password": "another", "tags": "administrator"}),
            ("PUT", f"permissions/%2F/{user}", {"configure": ".*", "write": ".*", "read": ".*"}),
        ]:
            status, _ = http(f"{api}/{path}", user, method, body)
            expect(400 <= status < 500, f"{user} may not {method} {path}: {status}")
    for user in ("guest", "admin", "rabbitmq"):
        equal(f"{user} is let in", http(f"{api}/whoami", user)[0], 401)
    found = read(f"{api}/queues/%2F", "freshet-operator")
    policies = {each["name"].removeprefix("segment.events").lstrip(".") or "intake": each.get("policy") for each in found}
    expected = {"intake": "freshet-lanes", "lane.acme": "freshet-lanes", "lane.globex": "freshet-lanes"}
    equal("policies", {name: policies.get(name) for name in expected}, expected)
    equal("policy of the dead letters", policies["dead"], "freshet-dead-letters")
    done("each user of RabbitMQ can do what it should, and nothing else")


def put_in_place(path, text):
    """As editors and programs that hand out keys do: the file is another one afterwards."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.rename(path)


def read_again():
    """What each replica has logged of a reload."""
    lines = run("docker", "compose", "logs", "--no-color", "--no-log-prefix", "freshet").splitlines()
    return [line for line in lines if "the configuration was read again" in line]


def check_reload():
    folder = REPO / "deploy/compose"
    for account in ("acme", "globex"):
        put_in_place(folder / f"sandbox-secrets/{account}_api_key", "the-next-key\n")
    toml = folder / "config/freshet.toml"
    put_in_place(toml, toml.read_text().replace('["wk_acme"]', '["wk_acme", "wk_next"]'))
    run("docker", "compose", "kill", "--signal", "HUP", "freshet")
    eventually("replicas that have read their files again", lambda: len(read_again()), 2)
    for line in read_again():
        changed = 'changed="acme (write_keys, api_key), globex (api_key)"'
        expect(changed in line, f"{changed} in {line}")
    # From here on, who has the old key is refused.
    equal("the account's answer", http("http://127.0.0.1:8090/_sandbox/options", None, "PUT", {"api_key": "the-next-key"})[0], 200)
    before = contacts()
    event = {"type": "identify", "messageId": "next", "writeKey": "wk_next", "userId": "next@example.com", "traits": {"firstName": "N"}}
    run("docker", "compose", "run", "--rm", "--no-deps", "-T", "publish", "publish", "-", stdin=json.dumps(event) + "\n")
    eventually("contacts", contacts, before + 1)
    expect('"401"' not in json.dumps(sandbox()["requests"]), f"no call has the old key: {sandbox()['requests']}")
    eventually("the queues' messages", queues, LEFT)
    done("after SIGHUP, keys and a configuration that were put in the old ones' place are in use")


def holder(account):
    """The replica that holds the lane."""
    for port in (9464, 9465):
        status = read(f"http://127.0.0.1:{port}/api/status")
        for each in (status or {}).get("accounts", []):
            if each["account"] == account and each.get("replica"):
                return each["replica"]
    return None


def check_a_kill():
    events = 3000
    before = contacts()
    with tempfile.TemporaryDirectory(dir=REPO) as folder:
        os.chmod(folder, 0o755)
        lines = pathlib.Path(folder, "many.ndjson")
        with lines.open("w") as file:
            for number in range(events):
                address = f"kill-{number}@example.com"
                event = {"type": "identify", "messageId": f"kill-{number}", "writeKey": "wk_acme", "userId": address}
                file.write(json.dumps({**event, "traits": {"email": address, "firstName": f"N{number}"}}) + "\n")
        lines.chmod(0o644)
        mount = f"{lines}:/many.ndjson:ro"
        publishing = subprocess.Popen(
            ["docker", "compose", "run", "--rm", "--no-deps", "--volume", mount, "publish", "publish", "/many.ndjson"],
            cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        eventually("a replica in the midst of it", lambda: contacts() > before, True)
        victim = holder("acme")
        expect(victim, "some replica holds the lane")
        run("docker", "kill", victim)
        expect(before < contacts() < before + events, "it was killed between the first event and the last")
        equal("the publisher's status", publishing.wait(PATIENCE), 0)
    eventually("contacts", contacts, before + events)
    eventually("the queues' messages", queues, LEFT)
    equal("contacts", contacts(), before + events)
    # The others stay as they are: what they have seen since is looked at below.
    bring_up("--no-build", "--no-recreate")
    done(f"a replica that is killed loses none of {events} events")


def prometheus(path, **parameters):
    found = read(f"http://127.0.0.1:9090/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
    return found["data"] if found else None


def targets():
    found = (prometheus("targets") or {}).get("activeTargets", [])
    return sorted(f"{each['labels']['job']} {each['health']}" for each in found)


def unhealthy_rules():
    groups = (prometheus("rules") or {"groups": [{"rules": [{"name": "none yet", "health": "unknown"}]}]})["groups"]
    return [f"{rule['name']}: {rule['health']}" for group in groups for rule in group["rules"] if rule["health"] != "ok"]


# What a run as short as this one does not show: an alert that fires, and what only many records in one call tell of an account.
NOT_SHOWN = {"What fires", "Bulk features"}
NOT_SEEN = {"freshet_bulk_feature", "account_feature:freshet_bulk_feature:max"}


def empty_panels():
    """Queries of the dashboard that find nothing."""
    dashboard = json.loads((REPO / "deploy/grafana/dashboards/freshet.json").read_text())
    empty = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "5m").replace("$account", ".*")
            found = prometheus("query", query=query)
            if not (found and found["result"]) and panel["title"] not in NOT_SHOWN:
                empty.append(f"{panel['title']}: {query}")
    return empty


def absent_metrics():
    """What rules look at and Prometheus has not got. Recorded ones come some scrapes after the events."""
    known = set(prometheus("label/__name__/values")) | NOT_SEEN
    rules = (rule for group in prometheus("rules")["groups"] for rule in group["rules"])
    metrics = r"\b(?:freshet|process|account\w*:freshet)_\w[\w:]*"
    return sorted(
        f"{rule['name']}: {metric}" for rule in rules for metric in set(re.findall(metrics, rule["query"])) - known
    )


def check_monitoring():
    expected = ["alertmanager up", "freshet up", "freshet up", "prometheus up", "rabbitmq up", "rabbitmq-queues up"]
    eventually("what Prometheus scrapes", targets, expected)
    eventually("rules that do not work", unhealthy_rules, [])
    equal("Alertmanagers", len(prometheus("alertmanagers")["activeAlertmanagers"]), 1)
    done("Prometheus scrapes everything, and all its rules work")

    status, runbook = http("http://localhost:9464/runbook")
    equal("the runbook's status", status, 200)
    eventually("metrics that rules look at and that are not there", absent_metrics, [])
    for group in prometheus("rules")["groups"]:
        for rule in group["rules"]:
            if rule["type"] == "alerting":
                page, section = rule["annotations"]["runbook_url"].split("#")
                equal("the runbook's page", page, "http://localhost:9464/runbook")
                expect(f'id="{section}"' in runbook, f"the runbook has a section {section}")
    done("every alert looks at metrics that are there, and links to a section that is there")

    eventually("panels without anything to show", empty_panels, [])
    expect(prometheus("query", query='ALERTS{alertname=~"Freshet.*", alertstate="pending"}')["result"], "the alerts' metric")
    done("every query of the dashboard is answered")


def check_passwords():
    """As deploy/README.md has people set their own."""
    path = REPO / "deploy/rabbitmq/definitions.json"
    definitions = json.loads(path.read_text())
    for user in definitions["users"]:
        hashing = ["docker", "compose", "exec", "-T", "rabbitmq", "rabbitmqctl", "hash_password", f"own{user['name']}"]
        user["password_hash"] = run(*hashing).split()[-1]
    put_in_place(path, json.dumps(definitions))
    put_in_place(REPO / ".env", "BROKER_PASSWORD=ownfreshet\nPUBLISHER_PASSWORD=ownfreshet-publisher\n")
    run("docker", "compose", "restart", "rabbitmq")
    bring_up("--no-build")
    equal("the old password is let in", http("http://127.0.0.1:15672/api/whoami", "freshet-operator")[0], 401)
    before = contacts()
    event = {"type": "identify", "messageId": "own", "writeKey": "wk_acme", "userId": "own@example.com", "traits": {"firstName": "O"}}
    run("docker", "compose", "run", "--rm", "--no-deps", "-T", "publish", "publish", "-", stdin=json.dumps(event) + "\n")
    eventually("contacts", contacts, before + 1)
    done("with passwords of their own, replicas and the publisher go on")


def main():
    # As the first process of its namespace it would not hear it. With it everything here ends; the next run tidies up.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    start_engine()
    done("a Docker engine")
    make_stand_ins()
    done("stand-ins for images")
    run("docker", "rmi", "--force", "freshet", may_fail=True)
    bring_up("--build")
    done("docker compose up: everything is built, and healthy")
    try:
        check_image()
        check_containers()
        check_events()
        check_permissions()
        check_reload()
        check_a_kill()
        check_monitoring()
        check_passwords()
    finally:
        run("docker", "compose", "--profile", "example", "down", "--volumes", "--timeout", "5", may_fail=True)
        # Layers with programs that nobody needs any more: else each run leaves its own.
        run("docker", "image", "prune", "--force", may_fail=True)
        run("docker", "builder", "prune", "--force", "--keep-storage", "2GB", may_fail=True)
    done("docker compose down")


main()
