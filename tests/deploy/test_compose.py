"""The composition: secrets by file, settings that the hub knows, nothing that runs as more than it needs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from deploy_tools import FOLDER, tool

from hub.config import load_settings
from hub.portal.settings import PortalSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = [DEPLOY / "compose/compose.yaml", DEPLOY / "compose/compose.s3.yaml"]
MAIN, BUCKET = (yaml.safe_load(each.read_text(encoding="utf-8")) for each in FILES)
SERVICES = MAIN["services"]
OURS = ("migrate", "hub", "work")


@pytest.mark.parametrize("file", FILES, ids=lambda each: each.name)
def test_the_file_is_what_the_specification_allows(file):
    schema = FOLDER / "compose-spec.json"
    if not schema.exists():
        pytest.skip("the schema of compose files is not there (make deploy-tools)")
    jsonschema.validate(
        yaml.safe_load(file.read_text(encoding="utf-8")), json.loads(schema.read_text(encoding="utf-8"))
    )


def test_what_the_hubs_services_are_told_are_settings_of_production(tmp_path):
    for name in OURS:
        given = SERVICES[name]["environment"] | BUCKET["services"].get(name, {}).get("environment", {})
        given = {key: re.sub(r"\$\{DOMAIN[^}]*\}", "hub.example", value) for key, value in given.items()}
        settings = load_settings(
            tmp_path,
            {key: value for key, value in given.items() if key.startswith("HUB_")} | {"HUB_ENVIRONMENT": "production"},
        )
        assert settings.canonical_url == "https://hub.example", name
        assert "@" not in settings.database


def test_the_portal_is_told_settings_that_it_takes_and_has_a_database_of_its_own():
    settings = PortalSettings.read(DEPLOY / "compose/portal.toml")
    assert (settings.production, settings.secure, settings.port) == (True, True, 8081)
    portal = SERVICES["portal"]
    for file in (settings.hub.client_secret_file, settings.storage.password_file):
        assert str(file.parent) == "/run/secrets"
        assert file.name in portal["secrets"]
    assert settings.storage.url == "postgresql://portal@database:5432/portal"
    made = (DEPLOY / "compose/portal-database.sh").read_text(encoding="utf-8")
    assert "CREATE ROLE portal" in made
    assert "CREATE DATABASE portal OWNER portal" in made
    assert f"reverse_proxy portal:{settings.port}" in (DEPLOY / "compose/Caddyfile").read_text(encoding="utf-8")
    # It knows the hub by its doors alone: nothing of the hub's is mounted or told.
    assert not {"pg_service.conf", "database_password"} & set(portal["secrets"])
    assert not any(each.startswith("data:") for each in portal["volumes"])
    assert portal["profiles"] == ["portal"]


def test_secrets_are_files_that_the_script_makes():
    script = (DEPLOY / "compose/secrets.sh").read_text(encoding="utf-8")
    made = set(re.findall(r"keep (\w[\w.]*) ", script))
    named = {each["file"].removeprefix("./secrets/") for each in (MAIN["secrets"] | BUCKET["secrets"]).values()}
    assert named <= made
    for services in (SERVICES, BUCKET["services"]):
        for name, service in services.items():
            for key, value in service.get("environment", {}).items():
                if re.search(r"PASSWORD|SECRET|TOKEN|(?<!_ID)_KEY$", key):
                    assert value.startswith("/run/secrets/"), f"{name} {key}"


def test_who_needs_a_secret_is_given_that_one():
    for services in (SERVICES, BUCKET["services"]):
        for name, service in services.items():
            text = json.dumps([service.get("environment", {}), service.get("command", [])])
            assert set(re.findall(r"/run/secrets/([\w.]+)", text)) <= {
                *service.get("secrets", []),
                "pg_service.conf",
            }, name


def test_nothing_runs_as_more_than_it_needs():
    for name, service in (SERVICES | {each: BUCKET["services"][each] for each in ("bucket",)}).items():
        if name != "database":  # Its image changes the owner of its folder, then gives all up by itself.
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
        assert ":latest" not in service["image"] or name in (*OURS, "portal")
    for name in (*OURS, "portal"):
        assert SERVICES[name]["read_only"] is True
    # Database and numbers are reached from within alone.
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy", "grafana"]
    assert SERVICES["database"]["networks"] == SERVICES["prometheus"]["networks"] == ["inner"]
    assert MAIN["networks"]["inner"] == {"internal": True}


def test_prometheus_asks_every_process_that_has_numbers():
    targets = yaml.safe_load((DEPLOY / "compose/prometheus.yaml").read_text("utf-8"))["scrape_configs"][0][
        "static_configs"
    ]
    worker = SERVICES["work"]["environment"]
    assert targets == [{"targets": ["hub:8080", f"work:{worker['HUB_WORK_METRICS_PORT']}"]}]
    assert (worker["HUB_WORK_METRICS_HOST"], worker["HUB_METRICS"]) == ("0.0.0.0", "on")
    assert "inner" in SERVICES["work"]["networks"]


def test_every_file_that_is_mounted_is_there():
    for service in SERVICES.values():
        for each in service.get("volumes", []):
            if each.startswith("."):
                assert (DEPLOY / "compose" / each.split(":")[0]).exists(), each


def test_prometheus_reads_its_settings_and_the_alerts():
    promtool = tool("promtool")
    alerts = DEPLOY.parent / "hub/alerts.yaml"
    ran = subprocess.run(
        [promtool, "check", "rules", str(alerts)], check=False, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "SUCCESS" in ran.stdout
    settings = DEPLOY / "compose/prometheus.yaml"
    ran = subprocess.run(
        [promtool, "check", "config", "--syntax-only", str(settings)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
