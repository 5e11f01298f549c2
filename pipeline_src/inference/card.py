"""Writes the description of a bundle: a model card for people and metadata for machines."""

from __future__ import annotations

from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline_src.config.networks import DC_CNN
from pipeline_src.inference.card_metrics import SHOWN
from pipeline_src.inference.error_bound import ErrorBound
from pipeline_src.inference.onnx_export import OPSET
from pipeline_src.inference.trained import Trained
from pipeline_src.models.base import count_parameters
from pipeline_src.models.registry import describe_network
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.text import markdown, one_line

UNKNOWN = "not told"


def title(trained: Trained) -> str:
    """The title of the card."""
    config = trained.config
    return one_line(" ".join(filter(None, (config.model, config.dataset, config.acceleration))))


def write_card(
    trained: Trained,
    found: dict[str, Any],
    licence: str,
    onnx: bool,
    bound: ErrorBound | None = None,
) -> str:
    """The text of `README.md`, with front matter for the Hugging Face hub."""
    environment = Environment(
        loader=PackageLoader("pipeline_src", "inference"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    config, network = trained.config, trained.network.network
    metrics = [
        {
            "name": name,
            "mean": f"{found[key]['mean']:.{digits}f}",
            "interval": (
                f"{found[key]['low']:.{digits}f} to {found[key]['high']:.{digits}f}"
                if "low" in found[key]
                else "none with one patient"
            ),
        }
        for key, name, digits in ((m.name, m.heading, m.decimals) for m in SHOWN)
        if key in found
    ]
    rows, columns = config.matrix
    module = getattr(network, "module", None)
    factor = config.origin.downscale
    return environment.get_template("card.md.j2").render(
        header=_header(trained, found, licence),
        title=markdown(title(trained)),
        what=_what(config.model),
        sampled=f"{trained.mask.samples.mean():.1%}",
        acceleration=_told(config.acceleration) or UNKNOWN,
        rows=rows,
        columns=columns,
        onnx=onnx,
        brings_code=network.kind == DC_CNN,
        module=_code(module) if module else "",
        bound=bound,
        opset=OPSET,
        architecture=network.name,
        described=describe_network(network),
        parameters=f"{count_parameters(trained.network):,}",
        downscaled=f", averaged over {factor} x {factor} pixels first" if factor > 1 else "",
        mask=_mask(trained),
        seed=_told(trained.made.get("seed", UNKNOWN)),
        weights_sha256=trained.told["weights_sha256"],
        data=_data(trained),
        licence=_told(licence) or f"{UNKNOWN}; ask whose data it was trained on",
        metrics=metrics,
        patients=found.get("patients", 0),
        compute=_compute(trained.made),
        synthetic=config.origin.synthetic,
    )


def _told(text: object) -> str:
    """What a file tells, within a line of the card."""
    return markdown(one_line(str(text)))


def _code(text: str) -> str:
    """The same within backquotes, which alone end there."""
    return one_line(text).replace("`", "'")


def _header(trained: Trained, found: dict[str, Any], licence: str) -> str:
    """The front matter in YAML."""
    name, kind = title(trained), trained.config.network.kind
    front: dict[str, Any] = {
        "license": licence.lower() or "unknown",
        "library_name": "pytorch" if kind == DC_CNN else "onnx",
        "pipeline_tag": "image-to-image",
        "tags": [
            "mri",
            "reconstruction",
            "knowledge-distillation",
            kind.replace("_", "-"),
            "medical",
        ],
    }
    if found:
        metrics = [
            {
                "type": metric.name.removesuffix("_db"),
                "value": round(found[metric.name]["mean"], 5),
                "name": metric.heading,
            }
            for metric in SHOWN
            if metric.name in found
        ]
        data = one_line(trained.config.dataset) or "unknown"
        front["model-index"] = [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "image-to-image", "name": "MRI reconstruction"},
                        "dataset": {"name": data, "type": data},
                        "metrics": metrics,
                    }
                ],
            }
        ]
    return yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip()


def _what(model: str) -> str:
    if model.startswith("teacher"):
        return "A teacher: the larger of two networks."
    if model.startswith("sft_teacher"):
        return "A student-friendly teacher: the larger of two networks, trained with its student."
    if model.startswith("student"):
        return "A student that was trained alone: the lighter of two networks."
    return "A distilled student: the lighter of two networks, taught by the larger one."


def _mask(trained: Trained) -> str:
    told = trained.mask.description
    if told.get("kind") == "drawn":
        lines = trained.mask.samples[:, 0]
        return (
            f"{int(lines.sum())} of {len(lines)} lines, drawn with seed {_told(told.get('seed'))}, "
            f"the {_told(told.get('center_lines'))} lowest frequencies always among them"
        )
    return f"given as the file {_told(told.get('file', UNKNOWN))}"


def _data(trained: Trained) -> str:
    origin, dataset = trained.config.origin, _code(trained.config.dataset)
    kind = "drawn (synthetic) phantoms" if origin.synthetic else _told(origin.kind)
    said = f"Data set `{dataset or UNKNOWN}`" + (f" ({kind})." if kind else ".")
    if origin.patients:
        told = ", ".join(f"{_told(part)} {count}" for part, count in origin.patients.items())
        said += f" Patients: {told}."
    digest = trained.made.get("data_digest")
    return said + (f" Digest of its slices: `{_code(digest)}`." if isinstance(digest, str) else "")


def _compute(made: Manifest) -> str:
    """The time and device of the training, from its manifest."""
    if not made.runs:
        return "Not recorded."
    best = made.get("best_epoch")
    known = isinstance(best, dict) and "epoch" in best
    epoch = f"; weights of epoch {_told(best['epoch'])}" if known else ""
    on = _told(made.runs[-1].processor or "")
    return f"{made.seconds / 60:.1f} minutes on {_told(made.device or '')} ({on}){epoch}."


def metadata(trained: Trained, found: dict[str, Any], licence: str) -> dict[str, Any]:
    """`metadata.jsonld` in the terms of FAIR4ML and schema.org."""
    config = trained.config
    described: dict[str, Any] = {
        "@context": {
            "@vocab": "https://schema.org/",
            "fair4ml": "https://w3id.org/fair4ml/",
        },
        "@type": "fair4ml:MLModel",
        "name": title(trained),
        "description": _what(config.model),
        "fair4ml:mlTask": "MRI reconstruction from undersampled k-space",
        "fair4ml:modelCategory": f"{config.network.kind} {config.network.name}",
        "fair4ml:trainedOn": {"@type": "Dataset", "name": config.dataset or UNKNOWN},
        "fair4ml:usageInstructions": "README.md",
        "fair4ml:modelRisksBiasLimitations": "Research only; see Limits in README.md",
        "citation": "Matcha et al., SFT-KD-Recon, MIDL 2023, PMLR 227",
        "identifier": f"sha256:{trained.told['weights_sha256']}",
    }
    if licence:
        described["license"] = licence
    if found:
        described["fair4ml:evaluationResults"] = [
            {"@type": "PropertyValue", "name": key, "value": found[key]["mean"]}
            | {
                bound: found[key][name]
                for bound, name in (("minValue", "low"), ("maxValue", "high"))
                if name in found[key]
            }
            for key in (metric.name for metric in SHOWN)
            if key in found
        ]
    return described
