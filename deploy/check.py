"""Checks that what deploy/ says of the service is true: metrics, variables, paths and versions are those of the code.

    python3 deploy/check.py

Needs PyYAML. Says every mistake on a line and exits with 1 if there is one.
"""

import json
import re
import sys
from pathlib import Path

try:
    import yaml
except ImportError:
    sys.exit("check: PyYAML is missing: apt-get install python3-yaml, or pip install pyyaml")

DEPLOY = Path(__file__).resolve().parent
ROOT = DEPLOY.parent
TEXT = {".yaml", ".yml", ".json", ".dockerignore", ""}
# What Prometheus adds to every series, and what it calls a histogram's bounds.
TARGET_LABELS = {"instance", "job", "le", "namespace", "pod"}
# What Prometheus itself knows of a target, and what its library tells of every process.
OTHER_METRICS = {name: set() for name in ("up", "process_resident_memory_bytes", "process_threads", "process_open_fds", "process_max_fds",
                                          "process_cpu_seconds_total", "process_start_time_seconds")}
KEYWORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
# What labels in parentheses follow.
GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"

mistakes = []


def wrong(where, what):
    mistakes.append(f"{where}: {what}")


def source(path):
    return (ROOT / path).read_text()


def found(pattern, text, what):
    """All matches; none at all means that the code is written in another way now, and this file has to follow."""
    matches = re.findall(pattern, text, re.S)
    if not matches:
        sys.exit(f"check: cannot read {what} any more; deploy/check.py has to follow the code")
    return matches


def exported():
    """The series that the service exports, with their labels."""
    text = source("serve/src/metrics.rs").split("#[cfg(test)]")[0] + source("serve/src/routes/metrics.rs")
    prefix = found(r'new_custom\(Some\("(\w+)"', text, "the prefix of metrics")[0]
    series = dict(OTHER_METRICS)
    # A call whose first two arguments are a name and a help text; labels stand between these and the next `?`.
    calls = found(r'(\w+)(?:::\w+)?\(\s*"([a-z][a-z0-9_]*)",\s*"[^"]*"([^?]*)\?', text, "serve/src/metrics.rs")
    for maker, name, rest in calls:
        labels = set(re.findall(r'"(\w+)"', rest))
        is_histogram = maker in ("seconds", "HistogramOpts")
        for suffix in ("_bucket", "_sum", "_count") if is_histogram else ("",):
            series[f"{prefix}_{name}{suffix}"] = labels
    return series


def check_expression(where, expression, series):
    """Names and labels in PromQL; what else it says is for promtool."""
    # What Grafana and the adapter fill in.
    text = re.sub(r"<<\.LabelMatchers>>|<<\.GroupBy>>", "", expression)
    text = text.replace("$__rate_interval", "1m").replace("$__range", "1m")
    labels_of_all = set().union(*series.values()) | TARGET_LABELS
    for labels in re.findall(GROUPING, text):
        for label in filter(None, re.split(r"[\s,]+", labels)):
            if label not in labels_of_all:
                wrong(where, f"no metric has the label `{label}`")
    text = re.sub(GROUPING, " ", text)
    for name, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}", text):
        for label in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', matchers):
            if label not in series.get(name, labels_of_all) | TARGET_LABELS:
                wrong(where, f"`{name}` has no label `{label}`")
        for path in re.findall(r'\broute\s*!?=\s*"([^"]*)"', matchers):
            check_path(where, path)
    text = re.sub(r'\{[^}]*\}|\[[^\]]*\]|"[^"]*"', " ", text)
    for name in re.findall(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()", text):
        if name not in series and name.lower() not in KEYWORDS:
            wrong(where, f"the service exports no `{name}`")


ROUTES = set(found(r'\bget\("([^"]+)"\)', source("serve/src/routes/mod.rs"), "the routes"))


def check_path(where, path):
    if path not in ROUTES:
        wrong(where, f"the service has no `GET {path}`")


def walk(value, path=""):
    """Every value in a document with the keys that lead to it."""
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from walk(inner, f"{path}.{key}")


def check_dashboard(where, dashboard, series):
    ids, taken = set(), {}
    for panel in dashboard["panels"]:
        title = f"{where}: panel `{panel['title']}`"
        if panel["id"] in ids:
            wrong(title, f"the id {panel['id']} is another's, too")
        ids.add(panel["id"])
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if x >= 24 or taken.setdefault((x, y), panel["id"]) != panel["id"]:
                    wrong(title, f"lies on another or beyond the edge at {x}, {y}")
        for target in panel.get("targets", []):
            check_expression(title, target["expr"], series)
            if target["datasource"]["uid"] != "${datasource}":
                wrong(title, "its data source is not the variable's")
    for variable in dashboard["templating"]["list"]:
        for metric, label in re.findall(r"label_values\(\s*(\w+)\s*,\s*(\w+)", json.dumps(variable)):
            check_expression(f"{where}: variable `{variable['name']}`", f"sum by ({label}) ({metric})", series)


def check_kubernetes(documents):
    """What the objects say of each other."""
    folder = "deploy/kubernetes/"
    of = {document["kind"]: document for name, document in documents if name.startswith(folder) and "kind" in document}
    for resource in of["Kustomization"]["resources"]:
        if not (ROOT / folder / resource).is_file():
            wrong(folder + "kustomization.yaml", f"there is no {resource}")
    pod = of["Deployment"]["spec"]["template"]
    container = pod["spec"]["containers"][0]
    for kind, labels in (
        ("Deployment", of["Deployment"]["spec"]["selector"]["matchLabels"]),
        ("Service", of["Service"]["spec"]["selector"]),
        ("PodDisruptionBudget", of["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]),
    ):
        if not labels.items() <= pod["metadata"]["labels"].items():
            wrong(folder, f"the {kind} selects {labels}, which the pods are not")
    monitored = of["ServiceMonitor"]["spec"]
    if not monitored["selector"]["matchLabels"].items() <= of["Service"]["metadata"]["labels"].items():
        wrong(folder, "the ServiceMonitor does not select the Service")
    ports = {port["name"] for port in of["Service"]["spec"]["ports"]}
    for endpoint in monitored["endpoints"]:
        check_path(folder + "servicemonitor.yaml", endpoint["path"])
        if endpoint["port"] not in ports:
            wrong(folder + "servicemonitor.yaml", f"the Service has no port `{endpoint['port']}`")
    if of["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] != of["Deployment"]["metadata"]["name"]:
        wrong(folder + "hpa.yaml", "it scales another Deployment")
    adapter = dict(documents)[folder + "prometheus-adapter.yaml"]
    made = {rule["name"]["as"] for rule in adapter["rules"]["custom"]}
    for metric in of["HorizontalPodAutoscaler"]["spec"]["metrics"]:
        name = metric["pods"]["metric"]["name"]
        if name not in made:
            wrong(folder + "hpa.yaml", f"prometheus-adapter.yaml makes no `{name}`")
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    paused = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    if pod["spec"]["terminationGracePeriodSeconds"] <= paused + float(environment["UNSCENE_SHUTDOWN_TIMEOUT_S"]):
        wrong(folder + "deployment.yaml", "it is killed before its own shutdown can have ended")


def check_compose(name, compose):
    if float(compose["x-unscene"]["stop_grace_period"].removesuffix("s")) <= float(
        compose["x-unscene"]["environment"]["UNSCENE_SHUTDOWN_TIMEOUT_S"]
    ):
        wrong(name, "it is killed before its own shutdown can have ended")
    for service in compose["services"].values():
        for volume in service["volumes"]:
            mounted = volume.split(":")[0] if isinstance(volume, str) else ""
            if mounted.startswith(".") and not (DEPLOY / mounted).exists():
                wrong(name, f"there is no {mounted}")


def check_dockerfile():
    where, text = "deploy/Dockerfile", source("deploy/Dockerfile")
    # ONNX Runtime and CUDA: taken from the lists that `make deps` takes, and named with no version of their own.
    taken = set()
    commands = text.replace("\\\n", " ")
    for wheels, names in found(r"RUN unpack (\S+)([^\n]+)", commands, "which wheels the Dockerfile takes"):
        lines = source(f"scripts/{wheels}").splitlines()
        taken.add(wheels)
        for name in names.split():
            if len([line for line in lines if line.startswith(f"{name}==") and "--hash=sha256:" in line]) != 1:
                wrong(where, f"scripts/{wheels} has not one line with a hash for {name}")
    used = set(found(r'"(wheels[\w-]*\.txt)"', source("scripts/unpack_wheels.py"), "scripts/unpack_wheels.py"))
    if taken != used:
        wrong(where, f"it takes {sorted(taken)}, and make deps {sorted(used)}")
    # As new as the workspace asks for.
    image = found(r"FROM rust:(\d+)\.(\d+)", text, "the Dockerfile's Rust")[0]
    least = found(r'rust-version = "(\d+)\.(\d+)"', source("Cargo.toml"), "the workspace's Rust")[0]
    if list(map(int, image)) < list(map(int, least)):
        wrong(where, f"Rust {'.'.join(image)} is older than what Cargo.toml asks for, {'.'.join(least)}")
    for path in re.findall(r"GET (/\w+)", text):
        check_path(where, path)
    # Cargo needs every member's manifest, whatever is built.
    allowed = re.findall(r"^!(\S+)", source("deploy/Dockerfile.dockerignore"), re.M)
    members = found(r"\bmembers = \[(.*?)\]", source("Cargo.toml"), "the workspace's members")[0]
    for member in re.findall(r'"([^"]+)"', members):
        if not any(member == path or member.startswith(path + "/") for path in allowed):
            wrong(where + ".dockerignore", f"{member}, a member of the workspace, is left out")


def check_versions(name, text):
    """Versions of wheels are in scripts/ only; the same one may be told elsewhere."""
    lists = source("scripts/wheels.txt") + source("scripts/wheels-gpu.txt")
    pinned = dict(found(r"\b(onnxruntime(?:-gpu)?)==(\S+) ", lists, "the pinned ONNX Runtime"))
    for package, version in re.findall(r"\b(onnxruntime(?:-gpu)?)==([\d.]+)", text):
        if pinned.get(package) != version:
            wrong(name, f"{package} {version}, but scripts/ pins {pinned.get(package)}")


def main():
    series = exported()
    variables = set(found(r'env = "(UNSCENE_\w+)"', source("serve/src/options.rs"), "serve/src/options.rs"))
    documents = []
    for path in sorted(DEPLOY.rglob("*")):
        if not path.is_file() or path.suffix not in TEXT:
            continue
        name, text = path.relative_to(ROOT).as_posix(), path.read_text()
        for variable in sorted(set(re.findall(r"\bUNSCENE_[A-Z0-9_]+", text)) - variables):
            wrong(name, f"the service has no variable `{variable}`")
        check_versions(name, text)
        try:
            if path.suffix == ".json":
                documents.append((name, json.loads(text)))
            elif path.suffix in (".yaml", ".yml"):
                documents += [(name, document) for document in yaml.safe_load_all(text)]
        except (ValueError, yaml.YAMLError) as error:
            wrong(name, " ".join(str(error).split()))
    if not mistakes:
        check_all(documents, series)
    for mistake in mistakes:
        print(f"check: {mistake}", file=sys.stderr)
    if mistakes:
        sys.exit(1)
    print(f"check: {len(documents)} documents agree with the service's {len(series) - len(OTHER_METRICS)} series, "
          f"{len(variables)} variables and {len(ROUTES)} paths")


def check_all(documents, series):
    for name, document in documents:
        for path, value in walk(document):
            if path.endswith("httpGet.path") or path.endswith("metrics_path"):
                check_path(name, value)
            if path.endswith((".metricsQuery", ".seriesQuery")) or re.search(r"\.rules\.\d+\.expr$", path):
                check_expression(f"{name}: {path}", value, series)
        if "panels" in document:
            check_dashboard(name, document, series)
        if name.endswith("compose.yaml"):
            check_compose(name, document)
    check_kubernetes(documents)
    check_dockerfile()


main()
