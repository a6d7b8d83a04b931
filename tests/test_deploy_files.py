"""The deploy files: Dockerfile, compose.yaml and render.yaml against what Docker and Render document."""

import fnmatch
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml  # type: ignore[import-untyped]

from llm_planner.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {name.upper() for name in Settings.model_fields}

# Render, documentation page "Blueprint YAML Reference" (render.com/docs/blueprint-spec), as of 2026.
ROOT_KEYS = {"services", "databases", "envVarGroups", "projects", "ungrouped", "previews"}
EVERY_SERVICE = {"name", "type", "runtime", "plan", "region", "envVars", "previews"} | {
    "numInstances", "scaling", "maxShutdownDelaySeconds", "preDeployCommand", "autoDeployTrigger",
}  # fmt: skip
BY_RUNTIME = {
    "docker": {"repo", "branch", "rootDir", "buildFilter", "registryCredential"}
    | {"dockerCommand", "dockerfilePath", "dockerContext"},
    "image": {"image", "dockerCommand"},
}
BY_TYPE = {"web": {"healthCheckPath", "domains", "disk"}, "worker": {"disk"}, "pserv": {"disk"}}
PLANS = {"starter", "standard", "pro", "pro plus", "pro max", "pro ultra"}
REGIONS = {"oregon", "ohio", "virginia", "frankfurt", "singapore"}
TRIGGERS = {"commit", "checksPass", "off"}
DISK_KEYS = {"name", "mountPath", "sizeGB"}
VARIABLE_FORMS = [
    {"key", "value"},
    {"key", "generateValue"},
    {"key", "sync"},
    {"key", "fromService"},
    {"fromGroup"},
]
GROUP_FORMS = [{"key", "value"}, {"key", "generateValue"}]
REFERENCES = [{"type", "name", "property"}, {"type", "name", "envVarKey"}]
PROPERTIES = {"host", "port", "hostport"}

# The compose specification (compose-spec/schema/compose-spec.json), for the keys that are used here.
COMPOSE_ROOT = {"name", "services", "networks", "volumes"}
COMPOSE_SERVICE = {"build", "command", "depends_on", "entrypoint", "env_file", "environment"} | {
    "healthcheck", "image", "networks", "ports", "restart", "stop_grace_period", "volumes",
}  # fmt: skip
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
HEALTH_KEYS = {"disable", "interval", "retries", "test", "timeout", "start_period", "start_interval"}


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return document


def tagged(image: str) -> bool:
    """Does the reference name a version that stays?"""
    _, _, tag = image.rpartition("/")[2].partition(":")
    return bool(tag) and tag != "latest"


def variables(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["key"]: entry for entry in service["envVars"] if "key" in entry}


class TestRender:
    blueprint: ClassVar = load("render.yaml")
    services: ClassVar = {service["type"]: service for service in blueprint["services"]}
    groups: ClassVar = {group["name"]: group["envVars"] for group in blueprint["envVarGroups"]}

    def test_the_root_has_documented_keys(self) -> None:
        assert set(self.blueprint) <= ROOT_KEYS

    @pytest.mark.covers("run.render")
    def test_there_is_one_web_service_one_worker_and_one_private_database(self) -> None:
        assert sorted(service["type"] for service in self.blueprint["services"]) == ["pserv", "web", "worker"]
        names = [service["name"] for service in self.blueprint["services"]]
        assert len(set(names)) == len(names)

    @pytest.mark.parametrize("kind", ["web", "worker", "pserv"])
    def test_services_have_documented_keys_and_values(self, kind: str) -> None:
        service = self.services[kind]
        assert set(service) <= EVERY_SERVICE | BY_RUNTIME[service["runtime"]] | BY_TYPE[kind]
        assert service["plan"] in PLANS
        assert service["region"] in REGIONS
        assert service.get("autoDeployTrigger", "commit") in TRIGGERS
        assert 1 <= service.get("maxShutdownDelaySeconds", 30) <= 300

    def test_all_services_are_in_one_region_since_the_private_network_is(self) -> None:
        assert len({service["region"] for service in self.blueprint["services"]}) == 1

    @pytest.mark.parametrize("kind", ["web", "worker", "pserv"])
    def test_variables_have_one_documented_source_each(self, kind: str) -> None:
        for entry in self.services[kind]["envVars"]:
            assert set(entry) in VARIABLE_FORMS
            assert entry.get("sync", False) is False
            assert entry.get("generateValue", True) is True
            assert entry.get("fromGroup", next(iter(self.groups))) in self.groups

    @pytest.mark.parametrize("kind", ["web", "worker"])
    def test_references_lead_to_services_and_variables_that_exist(self, kind: str) -> None:
        for entry in self.services[kind]["envVars"]:
            if "fromService" not in entry:
                continue
            reference = entry["fromService"]
            assert set(reference) in REFERENCES
            target = self.services[reference["type"]]
            assert target["name"] == reference["name"]
            assert reference.get("property", "host") in PROPERTIES
            assert reference.get("envVarKey") in {None, *variables(target)}

    def test_groups_hold_what_a_group_may(self) -> None:
        for entries in self.groups.values():
            assert all(set(entry) in GROUP_FORMS for entry in entries)

    def test_values_are_text(self) -> None:
        entries = [entry for service in self.blueprint["services"] for entry in service["envVars"]]
        entries += [entry for group in self.groups.values() for entry in group]
        assert all(isinstance(entry["value"], str) for entry in entries if "value" in entry)

    def test_web_and_worker_share_the_generated_secrets(self) -> None:
        (name,) = self.groups
        generated = {entry["key"] for entry in self.groups[name] if entry.get("generateValue")}
        assert "SECRET_KEY" in generated
        for kind in ("web", "worker"):
            assert {"fromGroup": name} in self.services[kind]["envVars"]
            assert not generated & set(variables(self.services[kind]))

    def test_no_secret_has_a_value(self) -> None:
        everything = [*self.groups.values(), *(service["envVars"] for service in self.blueprint["services"])]
        secret = re.compile("SECRET|PASSWORD|API_KEY|TOKEN|SMTP_URL")
        for entry in (entry for entries in everything for entry in entries):
            assert not ("value" in entry and secret.search(entry["key"]))

    def test_every_variable_of_web_and_worker_is_a_setting(self) -> None:
        keys = {entry["key"] for entries in self.groups.values() for entry in entries}
        keys |= set(variables(self.services["web"])) | set(variables(self.services["worker"]))
        assert keys - SETTINGS == set()

    def test_the_web_service_is_checked_and_the_database_upgraded_before_it_goes_live(self) -> None:
        web = self.services["web"]
        assert web["healthCheckPath"] == "/health"
        assert web["preDeployCommand"] == "python -m llm_planner db upgrade"
        assert self.services["worker"]["dockerCommand"] == "python -m llm_planner worker"

    def test_the_database_is_an_image_with_a_disk_where_mysql_keeps_its_data(self) -> None:
        mysql = self.services["pserv"]
        assert mysql["runtime"] == "image"
        assert mysql["image"] == {"url": "docker.io/library/mysql:8.4"}
        assert set(mysql["disk"]) <= DISK_KEYS
        assert mysql["disk"]["mountPath"] == "/var/lib/mysql"
        assert mysql["disk"]["sizeGB"] >= 1
        assert variables(mysql)["PORT"]["value"] == "3306"


class TestCompose:
    document: ClassVar = load("compose.yaml")
    services: ClassVar = document["services"]

    def test_the_document_has_keys_of_the_specification(self) -> None:
        assert {key for key in self.document if not key.startswith("x-")} <= COMPOSE_ROOT
        assert set(self.services) == {"app", "worker", "mysql", "ollama"}
        for service in self.services.values():
            assert set(service) <= COMPOSE_SERVICE

    def test_networks_and_volumes_that_are_used_are_declared(self) -> None:
        for service in self.services.values():
            assert set(service["networks"]) <= set(self.document["networks"])
            named = {volume.partition(":")[0] for volume in service["volumes"]}
            assert named <= set(self.document["volumes"])

    @pytest.mark.covers("run.compose")
    def test_images_are_pinned_to_a_version(self) -> None:
        pulled = [service["image"] for service in self.services.values() if "build" not in service]
        assert len(pulled) == 2
        assert all(map(tagged, pulled))
        assert self.services["mysql"]["image"] == "docker.io/library/mysql:8.4"

    def test_each_service_waits_for_what_it_needs(self) -> None:
        for service in self.services.values():
            for name, how in service.get("depends_on", {}).items():
                assert how["condition"] in CONDITIONS
                if how["condition"] == "service_healthy":
                    assert "build" in self.services[name] or "test" in self.services[name]["healthcheck"]
        assert set(self.services["app"]["depends_on"]) == {"mysql", "ollama"}
        assert set(self.services["worker"]["depends_on"]) == {"app"}

    def test_health_checks_are_well_formed(self) -> None:
        for service in self.services.values():
            check = service["healthcheck"]
            assert set(check) <= HEALTH_KEYS
            assert check.get("test", ["CMD"])[0] in {"CMD", "CMD-SHELL"}
            times = [value for key, value in check.items() if key in {"interval", "timeout", "start_period"}]
            assert all(re.fullmatch(r"\d+s", time) for time in times)

    def test_nothing_has_to_be_set_before_the_first_start(self) -> None:
        text = (ROOT / "compose.yaml").read_text()
        uses = re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", text)
        assert uses
        assert [name for name, default in uses if not default.startswith(":-") or default == ":-"] == []
        assert self.services["app"]["env_file"] == [{"path": ".env", "required": False}]

    def test_the_database_is_out_of_reach_from_outside(self) -> None:
        mysql = self.services["mysql"]
        assert "ports" not in mysql
        assert [self.document["networks"][name] for name in mysql["networks"]] == [{"internal": True}]

    def test_only_this_machine_reaches_the_page(self) -> None:
        published = [port for service in self.services.values() for port in service.get("ports", [])]
        assert published == ["127.0.0.1:${PORT:-8000}:8000"]

    def test_one_service_migrates_and_the_web_process_runs_no_worker(self) -> None:
        app, worker = self.services["app"]["environment"], self.services["worker"]["environment"]
        assert (app["DB_AUTO_MIGRATE"], worker["DB_AUTO_MIGRATE"]) == ("1", "0")
        assert app["WORKERS_INLINE"] == "0"
        assert app["DB_URL"] == worker["DB_URL"]
        assert self.services["app"]["volumes"] == self.services["worker"]["volumes"]

    def test_every_variable_of_app_and_worker_is_a_setting(self) -> None:
        keys = {*self.services["app"]["environment"], *self.services["worker"]["environment"]}
        assert keys - SETTINGS == set()


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [
        (word.upper(), " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines)
    ]


def arguments(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


@pytest.fixture
def status() -> list[int]:
    """What the server below answers; a test may change it."""
    return [200]


@pytest.fixture
def port(status: list[int]) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0] if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def health_check(port: int) -> int:
    command = json.loads(arguments("HEALTHCHECK")[0].partition("CMD ")[2])
    assert command[0] == "python"
    environment = {**os.environ, "PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    return subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True).returncode


class TestDockerfile:
    def test_every_stage_starts_from_a_pinned_version(self) -> None:
        images = [line.split()[0] for line in arguments("FROM")]
        assert len(images) == 2
        assert all(map(tagged, images))

    def test_packages_are_installed_with_their_hashes_in_a_stage_of_their_own(self) -> None:
        names = [word for word, _ in instructions()]
        last_stage = instructions()[len(names) - 1 - names[::-1].index("FROM") :]
        assert [rest for word, rest in last_stage if word == "RUN" and "pip" in rest] == []
        assert any("--require-hashes -r requirements.txt" in rest for rest in arguments("RUN"))

    @pytest.mark.covers("run.container")
    def test_it_does_not_run_as_root(self) -> None:
        names = [word for word, _ in instructions()]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", arguments("USER")[-1])
        assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])

    def test_the_command_is_in_exec_form(self) -> None:
        assert json.loads(arguments("CMD")[-1]) == ["python", "-m", "llm_planner", "run"]

    def test_it_listens_to_the_outside_on_the_port_it_declares(self) -> None:
        environment = dict(pair.split("=", 1) for pair in " ".join(arguments("ENV")).split())
        assert (environment["HOST"], environment["PORT"]) == ("0.0.0.0", "8000")
        assert arguments("EXPOSE") == ["8000"]

    def test_data_may_be_mounted(self) -> None:
        assert json.loads(arguments("VOLUME")[0]) == ["/app/data"]
        assert arguments("WORKDIR")[-1] == "/app"

    def test_what_is_copied_exists_and_is_not_ignored(self) -> None:
        rules = [
            line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")
        ]
        for copied in arguments("COPY"):
            if copied.startswith("--from="):
                continue
            source = copied.split()[0].rstrip("/")
            assert (ROOT / source).exists()
            assert rules[0] == "*"
            assert any(
                fnmatch.fnmatch(source, rule[1:].rstrip("/")) for rule in rules if rule.startswith("!")
            )

    def test_no_secret_and_no_local_data_enters_the_image(self) -> None:
        rules = (ROOT / ".dockerignore").read_text().splitlines()
        kept = [rule[1:].rstrip("/") for rule in rules if rule.startswith("!")]
        assert sorted(kept) == ["app", "llm_planner", "requirements-model.txt", "requirements.txt"]
        assert not [
            rest for rest in (*arguments("ENV"), *arguments("ARG")) if re.search("KEY|SECRET|PASS", rest)
        ]

    def test_the_health_check_follows_the_port_and_the_answer(self, port: int, status: list[int]) -> None:
        assert health_check(port) == 0
        status[0] = 503
        assert health_check(port) != 0

    def test_the_health_check_fails_where_nobody_listens(self) -> None:
        assert health_check(1) != 0
