"""Generates the JSON schema and the key-by-key reference from the configuration models."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline_src.config.datasets import Dataset
from pipeline_src.config.study import Study
from pipeline_src.files import write_text

#: What the section is called of a kind whose name is not fixed.
ANOTHER = "another"


def schema_json() -> str:
    """The JSON schema of a configuration file, as text."""
    schema = Study.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2) + "\n"


def key_paths() -> list[str]:
    """Every key as a dotted path; `NAME` stands for a name the user chooses."""
    return [path for path, _ in _walk(Study, "")]


def source_kinds() -> list[str]:
    """Kinds of data source."""
    sections = _sections(Dataset.model_fields["source"].annotation)
    kinds = [_kind(section).removeprefix("kind: ") for _, section in sections]
    return [kind for kind in kinds if kind != ANOTHER]


def _sections(annotation: Any) -> list[tuple[str, type[BaseModel]]]:
    """Sections below a field: itself, the members of a union, or the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [("", annotation)]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _sections(arguments[0])
    if origin is dict:
        return [(".NAME", model) for _, model in _sections(arguments[1])]
    if origin in (typing.Union, types.UnionType):
        return [found for member in arguments for found in _sections(member)]
    return []


def _kind(section: type[BaseModel]) -> str:
    """What distinguishes a member of a union from the others: its `kind`, or its first key."""
    kind = section.model_fields.get("kind")
    if kind is not None:
        return f"kind: {next(iter(typing.get_args(kind.annotation)), ANOTHER)}"
    return f"with {next(iter(section.model_fields))}"


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        path = prefix + name
        yield path, field
        for suffix, section in _sections(field.annotation):
            yield from _walk(section, f"{path}{suffix}.")


def _type_name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(a) for a in arguments)
    if origin is list:
        return f"list of {_type_name(arguments[0])}"
    if origin is tuple:
        return "[" + ", ".join(_type_name(a) for a in arguments) + "]"
    if origin is dict:
        return f"mapping of {_type_name(arguments[0])} to {_type_name(arguments[1])}"
    if annotation is Any:
        return "anything"
    names = {str: "text", int: "integer", float: "number", bool: "true/false", type(None): "null"}
    return names.get(annotation, "section")


def _default(field: FieldInfo, required: bool) -> str:
    if field.default is PydanticUndefined:
        return "required" if required else ""
    value = field.default
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, dict) and any(isinstance(v, BaseModel) for v in value.values()):
        return ", ".join(value)
    return f"`{json.dumps(value)}`"


def reference_markdown() -> str:
    """The tables of `config/README.md`: one section of the file each."""
    out: list[str] = []

    def table(model: type[BaseModel], path: str) -> None:
        doc = " ".join((model.__doc__ or "").split()) if path else ""
        out.append(f"## `{path}`" if path else "## Top level")
        if doc:
            out.extend(["", doc])
        out.extend(["", "| key | type | default | meaning |", "|---|---|---|---|"])
        below: list[tuple[type[BaseModel], str]] = []
        required = model.model_json_schema().get("required", ())
        for name, field in model.model_fields.items():
            sections = _sections(field.annotation)
            kind = "section" if sections else _type_name(field.annotation)
            kind = kind.replace("|", "\\|")
            out.append(
                f"| `{name}` | {kind} | {_default(field, name in required)} | {field.description} |"
            )
            for suffix, section in sections:
                label = f"{path}.{name}{suffix}".lstrip(".")
                if len(sections) > 1:
                    label += f" ({_kind(section)})"
                below.append((section, label))
        out.append("")
        for section, label in below:
            table(section, label)

    table(Study, "")
    return "\n".join(out)


REFERENCE_HEADING = """# Configuration

`own.yaml` is the one to copy for your own data; `config.yaml` is the embedded demo and the default;
`paper.yaml` is the paper; `replication.yaml` runs real data at a scale that two CPU cores finish in
about an hour; `replication_seeds.yaml` asks the paper's question on ACDC with five seeds, and
`replication_brain.yaml` on brains in six folds; `replication_gap.yaml` trains both networks equally
long, without distillation; `robustness_acdc.yaml` tries models of three of those seeds under other
conditions; `ablations.yaml` measures what each choice of the method does on a synthetic phantom;
`robustness.yaml` tries models beyond what they were trained for. A file given with `--configfile`
stands alone; single keys of it are overridden with `--config key=value`.

A configuration from a stranger is code to Snakemake: it runs what stands under `__use_yte__`, and a
run imports the modules under `methods.NAME.module`, `networks.ROLE.module` and
`datasets.NAME.source.module`. Look at it with `python -m pipeline_src check` first, which runs
nothing ([more](../docs/security.md)).

This reference is generated from the models in `pipeline_src/config` by
`python -m pipeline_src schema .`, and so is `workflow/schemas/config.schema.json`. `NAME` stands
for a name of your choice.

"""


def generated_files() -> dict[str, str]:
    """Generated files of the project, path below its root to text."""
    return {
        "workflow/schemas/config.schema.json": schema_json(),
        "config/README.md": REFERENCE_HEADING + reference_markdown(),
    }


def write_reference(root: Path) -> None:
    """Write the schema and the key reference into the project at ``root``."""
    for name, text in generated_files().items():
        write_text(root / name, text)
