"""What /docs and /openapi.json say about routes that read their requests themselves."""

from typing import Any

from pydantic import BaseModel


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """A JSON body of this model."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def takes_anything() -> dict[str, Any]:
    """A body in whatever form the sender has."""
    return {"requestBody": {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}}


def asks(*names: str) -> dict[str, Any]:
    """Query parameters, all of them optional texts."""
    return {"parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]}
