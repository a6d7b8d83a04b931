"""`tools`: what is allowed, with which arguments."""

import json
from typing import Any

import click

from ..errors import StartError
from ..tools import ToolSpec
from .calling import call
from .common import AS_JSON, blueprint_of, show


@click.group()
def tools() -> None:
    """The allowlist."""


tools.add_command(call)


@tools.command("list")
@AS_JSON
@click.pass_obj
def tools_list(where: str, as_json: bool) -> None:
    """Every tool, and whether it asks first."""
    found = [_summary(spec) for spec in blueprint_of(where).ingredients.registry]
    show(found, as_json, lambda rows: [f"{r['name']:<28} {_asks(r):<22} {r['description']}" for r in rows])


def _summary(spec: ToolSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "title": spec.title,
        "description": spec.description,
        "write": spec.write,
        "approver": spec.tool.approver,
        "egress": list(spec.tool.egress),
        "examples": len(spec.tool.examples),
    }


def _asks(row: dict[str, Any]) -> str:
    return f"write, asks {row['approver']}" if row["write"] else "read"


@tools.command("schema")
@click.argument("name")
@click.pass_obj
def schema(where: str, name: str) -> None:
    """Print the JSON Schema of one tool's arguments."""
    spec = blueprint_of(where).ingredients.registry.get(name)
    if spec is None:
        raise StartError(f"there is no tool {name}; see: llm-planner tools list")
    click.echo(json.dumps(spec.schema, ensure_ascii=False, indent=2))
