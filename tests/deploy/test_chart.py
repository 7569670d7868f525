"""The chart, and the plain YAML made from it: pods that the policy "restricted" takes, with secrets as files."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from deploy_tools import tool

import hub
from hub.config import load_settings
from hub.portal.settings import PortalSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm/rathaus-hub"
PLAIN = DEPLOY / "kubernetes/rathaus-hub.yaml"
DOCUMENTS = [each for each in yaml.safe_load_all(PLAIN.read_text(encoding="utf-8")) if each]
DEPLOYMENTS = [each for each in DOCUMENTS if each["kind"] == "Deployment"]
#: Of Kubernetes.
VERSION = "1.33"
#: A helm that was built from its source knows no version of Kubernetes.
FOR = ("--kube-version", VERSION)


def rendered(*more: str) -> str:
    command = [tool("helm"), "template", "rathaus-hub", str(CHART), "--namespace", "rathaus-hub", *FOR]
    ran = subprocess.run(
        [*command, "--values", str(DEPLOY / "kubernetes/values.yaml"), *more],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def pods() -> list[tuple[str, dict[str, Any]]]:
    return [(each["metadata"]["name"], each["spec"]["template"]["spec"]) for each in DEPLOYMENTS]


def of_the_hub(name: str) -> bool:
    return not name.startswith("rathaus-hub-portal")


def containers() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{name}/{each['name']}", each)
        for name, pod in pods()
        for each in (*pod.get("initContainers", ()), *pod["containers"])
    ]


def test_the_chart_is_of_this_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == hub.__version__


def test_the_plain_yaml_is_what_the_chart_renders():
    head = PLAIN.read_text(encoding="utf-8").partition("---\n")
    assert rendered().strip() == f"---\n{head[2]}".strip(), "make kubernetes"


def test_what_must_be_said_is_asked_for():
    command = [tool("helm"), "template", "x", str(CHART), *FOR]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode != 0
    assert "baseUrl" in ran.stderr or "existingSecret" in ran.stderr


def test_a_bucket_and_a_monitor_are_rendered_where_they_are_wanted():
    wanted = ["--set", "bucket.url=s3://a-bucket/hub,bucket.endpoint=https://s3.example,serviceMonitor.enabled=true"]
    documents = list(yaml.safe_load_all(rendered(*wanted)))
    assert [each["kind"] for each in documents].count("ServiceMonitor") == 1
    deployments = {each["metadata"]["name"]: each for each in documents if each["kind"] == "Deployment"}
    serve = deployments["rathaus-hub"]["spec"]["template"]["spec"]
    given = {each["name"]: each["value"] for each in serve["containers"][0]["env"]}
    assert given["HUB_BLOBS_SECRET_FILE"] == "/run/secrets/rathaus-hub/bucket_secret"
    assert given["HUB_METRICS"] == "on"


def test_workers_are_monitored_too_and_by_the_monitor_alone():
    documents = list(yaml.safe_load_all(rendered("--set", "serviceMonitor.enabled=true")))
    (monitor,) = [each for each in documents if each["kind"] == "PodMonitor"]
    (work,) = [
        each for each in documents if each["kind"] == "Deployment" and each["metadata"]["name"].endswith("-work")
    ]
    labels, container = (
        work["spec"]["template"]["metadata"]["labels"],
        work["spec"]["template"]["spec"]["containers"][0],
    )
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (port,) = container["ports"]
    assert endpoint["port"] == port["name"]
    given = {each["name"]: each["value"] for each in container["env"]}
    assert given["HUB_WORK_METRICS_PORT"] == str(port["containerPort"])
    assert (given["HUB_WORK_METRICS_HOST"], given["HUB_METRICS"]) == ("0.0.0.0", "on")
    policies = [each for each in documents if each["kind"] == "NetworkPolicy"]
    (policy,) = [each for each in policies if each["spec"]["podSelector"]["matchLabels"].items() <= labels.items()]
    (way,) = policy["spec"]["ingress"]
    assert way["ports"] == [{"port": port["name"], "protocol": "TCP"}]
    assert "monitoring" in str(way["from"])


def test_kubernetes_takes_every_document():
    ran = subprocess.run(
        [tool("kubernetes-validate"), "--strict", "-k", VERSION, str(PLAIN)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("passed") >= len(DOCUMENTS)


def test_pods_keep_to_the_policy_restricted_and_write_to_volumes_alone():
    assert {name for name, _ in pods()} == {"rathaus-hub", "rathaus-hub-work", "rathaus-hub-portal"}
    for name, pod in pods():
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001), name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert {each for volume in pod["volumes"] for each in volume} <= {
            "name",
            "persistentVolumeClaim",
            "secret",
            "configMap",
            "emptyDir",
        }
    for name, each in containers():
        context = each["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"requests", "limits"} <= set(each["resources"])


def test_secrets_are_files_and_settings_are_the_hubs(tmp_path):
    for name, each in containers():
        assert all("valueFrom" not in one for one in each["env"]), name
        assert "envFrom" not in each
        given = {one["name"]: one["value"] for one in each["env"]}
        if not of_the_hub(name):
            assert set(given) == {"FORWARDED_ALLOW_IPS"}
            continue
        assert "@" not in given["HUB_DATABASE_URL"]
        settings = {key: value for key, value in given.items() if key.startswith("HUB_")}
        # An unknown one would stop the start, in this test too.
        assert load_settings(tmp_path, {**settings, "HUB_ENVIRONMENT": "production"}).production
    for _, pod in pods():
        secret = next(volume["secret"] for volume in pod["volumes"] if "secret" in volume)
        # The group may read, which is the hub's; the hub refuses secrets that all may read.
        assert secret["defaultMode"] == 0o440


def test_each_pod_migrates_first_and_is_asked_how_it_is():
    for name, pod in pods():
        # The portal makes its own few tables when it begins.
        migrating = [["migrate"]] if of_the_hub(name) else []
        assert [each["args"] for each in pod.get("initContainers", ())] == migrating, name
        (running,) = pod["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(running)
    serve = next(pod for name, pod in pods() if name == "rathaus-hub")["containers"][0]
    # Readiness asks for the database; liveness does not, or its outage would end every pod.
    assert serve["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert serve["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_the_portal_is_told_settings_that_it_takes_and_finds_its_secrets_and_pages(tmp_path):
    pages = {"impressum.txt": "# Impressum\nMusterstadt"}
    more = tmp_path / "more.yaml"
    toml = '[pages]\nimprint = "impressum.txt"\n[limits]\nidle_minutes = 45\n[[tenants]]\ndomain = "b.example.org"'
    more.write_text(yaml.safe_dump({"portal": {"files": pages, "toml": toml}}), encoding="utf-8")
    hosts = "portal.ingress.moreHosts={b.example.org}"
    documents = list(yaml.safe_load_all(rendered("--values", str(more), "--set", hosts)))
    (config,) = [each["data"] for each in documents if each["kind"] == "ConfigMap"]
    assert config["impressum.txt"] == pages["impressum.txt"]
    for name, text in config.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    settings = PortalSettings.read(tmp_path / "portal.toml")
    assert (settings.production, settings.secure, settings.limits.idle) == (True, True, timedelta(minutes=45))
    assert settings.storage.url.startswith("postgresql://")
    assert set(settings.looks) == {"rathaus.example.org", "b.example.org"}
    assert settings.looks["rathaus.example.org"].page("imprint") is not None
    pod = next(each for each in documents if each["kind"] == "Deployment" and "portal" in each["metadata"]["name"])
    (portal,) = pod["spec"]["template"]["spec"]["containers"]
    mounted = {each["mountPath"]: each["name"] for each in portal["volumeMounts"]}
    for file in (settings.hub.client_secret_file, settings.storage.password_file):
        assert mounted[str(file.parent)] == "secrets"
    # Below the volume, for the portal alone: whoever may write there could give it schemas of his own.
    assert mounted[str(settings.storage.folder.parent)] == "data"
    assert portal["args"] == ["portal", "--config", "/etc/rathaus-portal/portal.toml"]
    assert portal["ports"][0]["containerPort"] == settings.port
    ingress = next(each for each in documents if each["kind"] == "Ingress" and "portal" in each["metadata"]["name"])
    assert [each["host"] for each in ingress["spec"]["rules"]] == ["rathaus.example.org", "b.example.org"]


def test_without_a_portal_nothing_of_it_is_rendered():
    documents = list(yaml.safe_load_all(rendered("--set", "portal.enabled=false")))
    assert not [each for each in documents if "portal" in each["metadata"]["name"]]


def test_selectors_find_what_they_mean():
    pods_ = [each["spec"]["template"]["metadata"]["labels"] for each in DEPLOYMENTS]
    hits = {}
    for each in DOCUMENTS:
        spec = each.get("spec", {})
        if each["kind"] == "Service":
            wanted = spec["selector"]
        elif each["kind"] in {"NetworkPolicy", "PodDisruptionBudget", "Deployment"}:
            wanted = (spec.get("podSelector") or spec.get("selector"))["matchLabels"]
        else:
            continue
        found = [one["app.kubernetes.io/component"] for one in pods_ if wanted.items() <= one.items()]
        hits[each["kind"], each["metadata"]["name"]] = found
    assert hits == {
        ("Deployment", "rathaus-hub"): ["serve"],
        ("Deployment", "rathaus-hub-work"): ["work"],
        ("Deployment", "rathaus-hub-portal"): ["portal"],
        ("Service", "rathaus-hub-portal"): ["portal"],
        ("NetworkPolicy", "rathaus-hub-portal"): ["portal"],
        ("PodDisruptionBudget", "rathaus-hub-portal"): ["portal"],
        ("Service", "rathaus-hub"): ["serve"],
        ("Service", "rathaus-hub-shut"): [],
        ("NetworkPolicy", "rathaus-hub"): ["serve"],
        ("NetworkPolicy", "rathaus-hub-work"): ["work"],
        ("PodDisruptionBudget", "rathaus-hub"): ["serve"],
    }


def test_from_outside_the_numbers_are_shut():
    ingress = next(each for each in DOCUMENTS if each["kind"] == "Ingress")
    paths = {each["path"]: each["backend"]["service"]["name"] for each in ingress["spec"]["rules"][0]["http"]["paths"]}
    assert paths == {"/metrics": "rathaus-hub-shut", "/": "rathaus-hub"}


def test_the_ingress_lets_through_what_the_proxies_do():
    nginx = (DEPLOY / "proxy/nginx.conf").read_text(encoding="utf-8")
    chart = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    ingress = {name.rpartition("/")[2]: value for name, value in chart["ingress"]["annotations"].items()}
    assert f"client_max_body_size {ingress['proxy-body-size']};" in nginx
    portal = {name.rpartition("/")[2]: value for name, value in chart["portal"]["ingress"]["annotations"].items()}
    assert f"client_max_body_size {portal['proxy-body-size']};" in nginx
    for off in ("proxy_request_buffering", "proxy_buffering", "proxy_next_upstream"):
        assert ingress[off.replace("_", "-")] == "off"
