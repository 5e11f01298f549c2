"""Configuration of the pair of networks."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from pipeline_src.config.section import Section, shown
from pipeline_src.modules import PACKAGE, source_of_module

DC_CNN = "dc_cnn"
KINDS_FOLDER = PACKAGE / "models" / "kinds"


def available_networks() -> list[str]:
    """Kinds of network: DC-CNN, and one module of `models/kinds` each."""
    others = (p.stem for p in KINDS_FOLDER.glob("*.py") if not p.stem.startswith("_"))
    return [DC_CNN, *sorted(others)]


class Network(Section):
    """A DC-CNN DdCc: c cascades of d convolutions, each followed by data fidelity."""

    # In a configuration the depth may be left out; see `Networks`.
    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(required=[]))

    kind: Literal["dc_cnn"] = Field(
        default="dc_cnn", description="kind of network; another one has other keys"
    )
    depth: int = Field(
        ge=2,
        le=100,
        description="3x3 convolutions per cascade (d); where not given, 5 for a teacher and 3 for "
        "a student",
    )
    cascades: int = Field(default=5, ge=1, le=100, description="cascades (c)")
    features: int = Field(default=32, ge=1, le=4096, description="channels between convolutions")
    padding: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="zero pixels added on each side of a cascade's input and cropped before "
        "data fidelity; the authors' cardiac code has 5",
    )

    @property
    def name(self) -> str:
        """The usual short name, such as `D5C5`."""
        return f"D{self.depth}C{self.cascades}"


class OtherNetwork(Section):
    """A network of another kind: from `pipeline_src/models/kinds`, or from a user's own module."""

    kind: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        description="name of the kind, a module of `pipeline_src.models.kinds`, such as "
        "`unet_cascade`; or the name under which `module` registers it",
    )
    module: str | None = Field(
        default=None,
        description="import path of the module that registers the kind; null: "
        "`pipeline_src.models.kinds.KIND`",
    )
    cascades: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="blocks, each followed by data fidelity; null: the network has no exchangeable "
        "blocks, so it cannot be trained student-friendly",
    )
    options: dict[str, Any] = Field(
        default={}, description="the kind's own options; `check` refuses those it does not have"
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_keys_of_dc_cnn(cls, data: Any) -> Any:
        for key in ("depth", "features", "padding"):
            if isinstance(data, dict) and key in data:
                raise ValueError(
                    f"{key}: is a key of {DC_CNN}; what another kind has stands under `options`"
                )
        return data

    @model_validator(mode="after")
    def _is_known(self) -> OtherNetwork:
        known = available_networks()
        if self.module is None and self.kind not in known:
            near = difflib.get_close_matches(self.kind, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise ValueError(
                f"kind: {self.kind!r} is not a kind of network; {hint} (one of your own needs its "
                "`module` beside it)"
            )
        return self

    @property
    def name(self) -> str:
        """Kind, cascades and options, such as `unet_cascade C5 (features 16, levels 2)`."""
        options = ", ".join(f"{key} {shown(value)}" for key, value in sorted(self.options.items()))
        cascades = f" C{self.cascades}" if self.cascades else ""
        return f"{self.kind}{cascades}{f' ({options})' if options else ''}"

    @property
    def import_path(self) -> str:
        """Import path of the module that registers the kind."""
        return self.module or f"{PACKAGE.name}.models.kinds.{self.kind}"

    def source(self, role: str) -> Path:
        """The file of its module, which results of the network depend on.

        Raises:
            InputError: the module cannot be found.
        """
        return source_of_module(self.import_path, f"networks.{role}.module")


def _tag(data: Any) -> str:
    if isinstance(data, dict):
        plain = data.get("kind", DC_CNN) == DC_CNN and "module" not in data
        return DC_CNN if plain else "another kind"
    return "another kind" if isinstance(data, OtherNetwork) else DC_CNN


AnyNetwork = Annotated[
    Annotated[Network, Tag(DC_CNN)] | Annotated[OtherNetwork, Tag("another kind")],
    Discriminator(_tag),
]


class Networks(Section):
    """The pair of networks."""

    teacher: AnyNetwork = Field(default=Network(depth=5), description="the larger network")
    student: AnyNetwork = Field(default=Network(depth=3), description="the network to distil into")

    @model_validator(mode="before")
    @classmethod
    def _depths_of_the_paper(cls, data: Any) -> Any:
        """A DC-CNN given without its depth has the paper's: D5 and D3."""
        if not isinstance(data, dict):
            return data
        depths = {"teacher": 5, "student": 3}
        return {
            role: {"depth": depths[role], **network}
            if role in depths and isinstance(network, dict) and _tag(network) == DC_CNN
            else network
            for role, network in data.items()
        }

    @property
    def others(self) -> dict[str, OtherNetwork]:
        """Networks that are not a DC-CNN, by role."""
        pair = {"teacher": self.teacher, "student": self.student}
        return {role: n for role, n in pair.items() if isinstance(n, OtherNetwork)}


@dataclass(frozen=True)
class Counts:
    """What one reconstruction of one slice by a network takes.

    Attributes:
        parameters: number of trainable parameters.
        multiply_adds: of all convolutions and matrix products except those of data fidelity.
        fidelities: how often data fidelity is applied.
        activations: how many numbers its layers output, which training keeps for gradients.
    """

    parameters: int
    multiply_adds: int
    fidelities: int
    activations: int


def feature_cascades(network: Network | OtherNetwork) -> int:
    """Cascades whose features can be compared; a network without blocks counts as one."""
    return network.cascades or 1
