"""Packs a study as a self-describing archive (Provenance Run Crate 0.5, an RO-Crate 1.1).

The crate's metadata describe every file with its digest, and every step that made one, from the
manifests beside the results.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from pipeline_src.config import Study
from pipeline_src.config.setting import acceleration_name
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path, sha256_json
from pipeline_src.modules import PACKAGE
from pipeline_src.planning.places import REPORT, TABLE_FOLDER
from pipeline_src.provenance.crate_content import (
    NOT_INCLUDED,
    Action,
    Content,
    describe_file,
    is_inside,
    read_results,
)
from pipeline_src.provenance.crate_descriptions import DESCRIPTIONS, FORMATS
from pipeline_src.provenance.crate_workflow import (
    PROFILES,
    SPECIFICATION,
    WORKFLOW_PROFILE,
    Workflow,
    add_author,
    run_times,
    workflow_files,
)

MIT = "https://spdx.org/licenses/MIT"
PAPER_URL = "https://arxiv.org/abs/2304.05057"
PAPER = {
    "name": "SFT-KD-Recon: Learning a Student-friendly Teacher for Knowledge Distillation in "
    "Magnetic Resonance Image Reconstruction",
    "datePublished": "2023",
    "isPartOf": "Medical Imaging with Deep Learning (MIDL) 2023, PMLR 227",
}
PAPER_AUTHORS = (
    "Matcha Naga Gayathri",
    "Sriprabha Ramanarayanan",
    "Mohammad Al Fahim",
    "Rahul G S",
    "Keerthi Ram",
    "Mohanasankar Sivaprakasam",
)


def write_crate(results: Path, output: Path, license_url: str = MIT) -> None:
    """Write the crate of a finished study as a zip archive, metadata first.

    It contains the study's files of `DESCRIPTIONS`, byte for byte. Image data is not included:
    `volumes.h5` and other files that the manifests name are listed with digest and, if the file is
    in the results, size. Figures and the report do show some slices. Each manifest becomes a
    `CreateAction`; a file that no manifest names is listed without one. The same results give the
    same bytes; `datePublished` is when the newest of them was finished.

    Args:
        results: folder of the study, `results/{study}`.
        output: the archive, such as `results/{study}/{study}.crate.zip`.
        license_url: licence of the results, as a web address.

    Raises:
        InputError: the study is unfinished, a manifest is damaged, or a file is not what a manifest
            says or is a link that leaves the results; the message names the first such file.
    """
    content = read_results(results)
    metadata = crate_metadata(content, license_url)
    with atomic_path(output) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_entry("ro-crate-metadata.json"), metadata)
        sources = {name: PACKAGE.parent / name for name in workflow_files()}
        for name, path in {**{n: results / n for n in content.included}, **sources}.items():
            with path.open("rb") as source:
                entry = _entry(name)
                entry.file_size = os.fstat(source.fileno()).st_size
                with archive.open(entry, "w") as target:
                    shutil.copyfileobj(source, target, 1 << 20)


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry of an archive that does not depend on when and by whom it is written."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


def crate_metadata(content: Content, license_url: str) -> str:
    """The text of `ro-crate-metadata.json`.

    Raises:
        InputError: no manifest contains a time.
    """
    # Imported late: only writing a crate pays for the library.
    from rocrate.rocrate import ROCrate  # type: ignore[import-untyped]

    crate = ROCrate(version=SPECIFICATION)
    add = partial(_add, crate)
    files = _add_files(crate, content)
    states = {_software_key(action): action for action in content.actions}
    software = {key: _add_software(crate, key, action) for key, action in states.items()}
    licence = _add_license(crate, license_url)
    workflow = Workflow(crate, add, _add_license(crate, MIT))
    agent = add_author(add, content.study.author)
    actions = []
    for action in content.actions:
        tool = workflow.tool(action.command, software[_software_key(action)])
        actions.append(_add_action(crate, action, files, tool))
    given = [file for key, file in files.items() if not is_inside(key)]
    steps = list(zip(content.actions, actions, strict=True))
    tables = [file for name, file in files.items() if name.startswith(f"{TABLE_FOLDER}/")]
    runs = workflow.run(steps, agent, given, [files[REPORT], *tables])
    paper = _add_paper(crate)
    root = crate.root_dataset
    profiles = [
        add(url, "CreativeWork", name=name, version=url.rpartition("/")[2])
        for url, name in PROFILES.items()
    ]
    root["conformsTo"] = profiles
    crate.metadata["conformsTo"] = [
        {"@id": f"https://w3id.org/ro/crate/{SPECIFICATION}"},
        {"@id": WORKFLOW_PROFILE},
    ]
    root["name"] = content.study.title or content.study.study
    root["description"] = _study_description(content.study)
    root["datePublished"] = _newest(content).isoformat(timespec="seconds")
    root["license"] = licence
    root["creator"] = _compact([*([agent] if agent is not None else []), *software.values()])
    root["citation"] = paper
    root["mentions"] = [*runs, paper, *(files[name] for name in content.listed), *actions]
    graph = crate.metadata.generate()
    return json.dumps(graph, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _newest(content: Content) -> datetime:
    ends = [action.ended for action in content.actions if action.ended]
    if not ends:
        raise InputError(f"{content.results}: no manifest in it tells when a result was made")
    return max(ends)


def _study_description(study: Study) -> str:
    kinds = {True: "drawn phantoms", False: "images from files"}
    sets = [
        f"{dataset.title or name} ({kinds[dataset.synthetic]})"
        for name, dataset in study.datasets.items()
    ]
    factors = " and ".join(acceleration_name(factor) for factor in study.accelerations)
    return (
        "Results of the SFT-KD-Recon pipeline: student-friendly teacher training and knowledge "
        f"distillation for the reconstruction of MR images undersampled {factors}. Data: "
        f"{', '.join(sets)}. Trained networks, metrics of every slice and volume, tables, figures "
        "and report; the image data itself is not included."
    )


def _add(crate: Any, identifier: str, kind: str, /, **properties: Any) -> Any:
    """Add a contextual entity; an entity among the properties becomes a link to it. An empty list
    is left out, and a list of one item is replaced by it, as the specification recommends.
    """
    from rocrate.model.contextentity import ContextEntity  # type: ignore[import-untyped]

    given = {key: _compact(value) for key, value in properties.items() if value != []}
    return crate.add(ContextEntity(crate, identifier, {"@type": kind, **given}))


def _compact(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _add_files(crate: Any, content: Content) -> dict[str, Any]:
    """Entities of all files by `_key`."""
    files: dict[str, Any] = {}
    for name in content.included:
        text = describe_file(DESCRIPTIONS, name)
        properties = {"name": name, "description": text, **_file_facts(content, name)}
        files[name] = crate.add_file(content.results / name, name, properties=properties)
    for name in content.listed:
        files[name] = _add(
            crate,
            f"#not-included/{quote(name)}",
            "CreativeWork",
            name=name,
            description=f"{describe_file(NOT_INCLUDED, name) or 'File'}; not in this crate",
            **_file_facts(content, name),
        )
    for action in content.actions:
        for place, sha256 in (*action.inputs.items(), *action.outputs.items()):
            if (key := _key(place, sha256)) not in files:
                name = PurePosixPath(place).name
                files[key] = _add(
                    crate,
                    f"#given/{sha256[:16]}/{quote(name)}",
                    "CreativeWork",
                    name=name,
                    description="File from outside the results; not in this crate",
                    sha256=sha256,
                )
    return files


def _key(place: str, sha256: str) -> str:
    """The key of a file's entity: its path, or for a file outside the results its digest and
    name.
    """
    return place if is_inside(place) else f"../{sha256}/{PurePosixPath(place).name}"


def _file_facts(content: Content, name: str) -> dict[str, str]:
    path = content.results / name
    return {
        "contentSize": str(path.stat().st_size),
        "encodingFormat": FORMATS.get(path.suffix, "application/octet-stream"),
        "sha256": content.digests[name],
    }


def _software_key(action: Action) -> str:
    return sha256_json([action.version, action.packages])[:12]


def _add_software(crate: Any, key: str, action: Action) -> Any:
    packages = [
        _add(
            crate,
            f"#package/{quote(name)}/{quote(version)}",
            "SoftwareApplication",
            name=name,
            version=version,
            url=f"https://pypi.org/project/{name}/" if name != "python" else "https://python.org/",
        )
        for name, version in action.packages.items()
    ]
    return _add(
        crate,
        f"#sft-kd-recon/{key}",
        "SoftwareApplication",
        name="SFT-KD-Recon pipeline",
        description="Snakemake pipeline that reproduces the paper at its address",
        version=action.version,
        url=PAPER_URL,
        softwareRequirements=packages,
    )


def _add_action(crate: Any, action: Action, files: dict[str, Any], software: Any) -> Any:
    written = files[action.path]
    entity = _add(
        crate,
        f"#action/{quote(action.path)}",
        "CreateAction",
        name=action.title,
        description=action.effort,
        instrument=software,
        object=_entities(files, action.inputs),
        result=[*_entities(files, action.outputs), written],
        **run_times([action]),
    )
    written["about"] = entity
    return entity


def _entities(files: dict[str, Any], digests: dict[str, str]) -> list[Any]:
    return list({_key(*item): files[_key(*item)] for item in digests.items()}.values())


def _add_paper(crate: Any) -> Any:
    authors = [
        _add(crate, f"#{quote(name.replace(' ', '-'))}", "Person", name=name)
        for name in PAPER_AUTHORS
    ]
    return _add(crate, PAPER_URL, "ScholarlyArticle", **PAPER, author=authors)


def _add_license(crate: Any, url: str) -> Any:
    name = "MIT License" if url == MIT else url
    text = "For the files of this crate; images that they were made from have their owners' terms"
    return _add(crate, url, "CreativeWork", name=name, description=text)
