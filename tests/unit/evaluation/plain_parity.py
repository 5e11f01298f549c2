"""Vectors for the command `parity` from a plain implementation of the method.

It shares no code with the pipeline: a loop over branches, explicit padding and cropping, data
fidelity by 2-D FFT on complex k-space, and every loss written out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import laplace
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

Arrays = dict[str, NDArray[Any]]
Blocks = list[list[tuple[Tensor, Tensor]]]


@dataclass(frozen=True)
class Case:
    """Sizes of a file of vectors; cascades that each loss compares are written out."""

    batch: int = 2
    rows: int = 16
    columns: int = 16
    padding: int = 5
    teacher_depth: int = 5
    student_depth: int = 3
    cascades: int = 5
    features: int = 4
    #: The convolution whose ReLU output is the middle feature, from 1.
    teacher_mid: int = 3
    student_mid: int = 2
    fitnets: int = 3
    fsp: tuple[int, ...] = (1, 2, 3)
    sp: tuple[int, ...] = (1, 2, 3, 4)


CASES = {
    "two of 16x16": Case(),
    "three of 24x20": Case(batch=3, rows=24, columns=20),
    "no padding": Case(padding=0, rows=18, columns=17),
    "one image": Case(batch=1, columns=12),
    "D4C3 and D2C3": Case(
        batch=3,
        padding=2,
        teacher_depth=4,
        student_depth=2,
        cascades=3,
        features=3,
        teacher_mid=2,
        student_mid=1,
        fitnets=2,
        fsp=(1,),
        sp=(1, 2),
    ),
    "D3C2 and D2C2": Case(
        teacher_depth=3,
        student_depth=2,
        cascades=2,
        teacher_mid=2,
        student_mid=1,
        fitnets=1,
        fsp=(1,),
        sp=(1,),
    ),
}


def random_blocks(depth: int, case: Case, generator: torch.Generator) -> Blocks:
    """Weights and biases of every convolution of every cascade, float32 values as a file has."""
    channels = [1] + [case.features] * (depth - 1) + [1]
    blocks: Blocks = []
    for _ in range(case.cascades):
        block = []
        for i in range(depth):
            scale = 1 / (3 * channels[i] ** 0.5)
            weight = torch.randn(channels[i + 1], channels[i], 3, 3, generator=generator) * scale
            bias = torch.randn(channels[i + 1], generator=generator) * 0.05
            block.append((weight.double(), bias.double()))
        blocks.append(block)
    return blocks


def run_block(
    image: Tensor, block: list[tuple[Tensor, Tensor]], mid: int, pad: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Cropped output, output before cropping, middle feature."""
    height, width = image.shape[2:]
    x = torch.zeros(*image.shape[:2], height + 2 * pad, width + 2 * pad, dtype=image.dtype)
    x[:, :, pad : pad + height, pad : pad + width] = image
    middle = x
    for number, (weight, bias) in enumerate(block, start=1):
        x = F.conv2d(x, weight, bias, padding=1)
        if number < len(block):
            x = x.clamp(min=0)
        if number == mid:
            middle = x
    return x[:, :, pad : pad + height, pad : pad + width], x, middle


def measured(image: Tensor, kspace: Tensor, mask: Tensor) -> Tensor:
    """Data fidelity: sampled lines of k-space replace the image's."""
    spectrum = torch.fft.fft2(image, norm="ortho")
    return torch.fft.ifft2(mask * kspace + (1 - mask) * spectrum, norm="ortho").real


def mean(values: list[Tensor]) -> float:
    return float(sum(values) / len(values))


def over_the_batch(energy: Tensor) -> Tensor:
    """L2-normalised over axis 0 at each pixel."""
    norm = energy.pow(2).sum(dim=0, keepdim=True).sqrt()
    return energy / norm.clamp(min=1e-12)


def attention_reference(student: Tensor, teacher: Tensor) -> Tensor:
    maps = [over_the_batch((f**2).sum(dim=1)) for f in (student, teacher)]
    return (maps[0] - maps[1]).abs().mean()


def attention_original(student: Tensor, teacher: Tensor) -> Tensor:
    total, count = torch.zeros((), dtype=torch.float64), 0
    for of_student, of_teacher in zip(student, teacher, strict=True):
        maps = [(f**2).mean(dim=0).flatten() for f in (of_student, of_teacher)]
        unit = [q / q.norm().clamp(min=1e-12) for q in maps]
        total = total + ((unit[0] - unit[1]) ** 2).sum()
        count += len(unit[0])
    return total / count


def neighbours(student: Tensor, teacher: Tensor) -> Tensor:
    difference = (student - teacher).abs()
    products = [(difference[b] * difference[b + 1]).sum(dim=0) for b in range(len(difference) - 1)]
    return torch.stack(products).mean() if products else torch.zeros((), dtype=torch.float64)


def gram(first: Tensor, second: Tensor) -> Tensor:
    return torch.einsum("bmhw,bnhw->bmn", first, second) / first[0, 0].numel()


def squares(features: list[Tensor]) -> list[Tensor]:
    return [(f**2).sum(dim=1, keepdim=True) for f in features]


def flow(student: list[Tensor], teacher: list[Tensor], k: int) -> Tensor:
    """Cascades count from 1; the pair is k, k + 1."""
    pair = [gram(f[k - 1], f[k]) for f in (student, teacher)]
    return ((pair[0] - pair[1]) ** 2).mean()


def similarity(student: Tensor, teacher: Tensor) -> Tensor:
    found = []
    for feature in (student, teacher):
        flat = feature.reshape(len(feature), -1)
        rows = [torch.stack([(a * b).sum() for b in flat]) for a in flat]
        found.append(torch.stack([row / row.norm().clamp(min=1e-12) for row in rows]))
    return ((found[0] - found[1]) ** 2).sum() / len(student) ** 2


def plain_vectors(case: Case) -> Arrays:
    """A file of vectors by the plain implementation, in double precision, kept as float32."""
    generator = torch.Generator().manual_seed(case.batch * 1000 + case.rows)
    y = torch.linspace(0, 1, case.rows)[:, None]
    x = torch.linspace(0, 1, case.columns)
    images = []
    for b in range(case.batch):
        wave = (6 * y + b).sin() * (5 * x - b).cos()
        noise = torch.rand(case.rows, case.columns, generator=generator)
        images.append((0.4 + 0.3 * wave + 0.3 * noise).clamp(0, 1))
    target = torch.stack(images)[:, None].double()
    lines = torch.zeros(case.rows, dtype=torch.float64)
    lines[[0, 1, 2, 5, case.rows - 4, case.rows - 1]] = 1
    mask = lines[:, None]
    kspace = mask * torch.fft.fft2(target, norm="ortho")
    zero_filled = torch.fft.ifft2(kspace, norm="ortho").real

    blocks: dict[str, Blocks] = {}
    arrays: Arrays = {"target": target.numpy(), "lines": lines.numpy()}
    arrays |= {"kspace": kspace.numpy(), "zero_filled": zero_filled.numpy()}
    for prefix, letter in (("teacher", "t"), ("student", "s"), ("sft", "t"), ("sft", "s")):
        depth = case.teacher_depth if letter == "t" else case.student_depth
        made = random_blocks(depth, case, generator)
        blocks[prefix + letter] = made
        for k, block in enumerate(made, start=1):
            for i, (weight, bias) in enumerate(block, start=1):
                name = f"{prefix}/state/{letter}cascade{k}.conv{i}"
                arrays |= {f"{name}.weight": weight.numpy(), f"{name}.bias": bias.numpy()}

    mid: dict[str, list[Tensor]] = {"teacher": [], "student": []}
    out: dict[str, list[Tensor]] = {"teacher": [], "student": []}
    mids = {"teacher": case.teacher_mid, "student": case.student_mid}
    for role in ("teacher", "student"):
        image = zero_filled
        for k, block in enumerate(blocks[role + role[0]], start=1):
            cropped, whole, middle = run_block(image, block, mids[role], case.padding)
            image = measured(cropped, kspace, mask)
            arrays[f"{role}/cascade{k}/conv_out"] = whole.numpy()
            arrays[f"{role}/cascade{k}/mid"] = middle.numpy()
            out[role].append(whole)
            mid[role].append(middle)
        arrays[f"{role}/recon"] = image.numpy()

    path = [zero_filled]
    for block in blocks["sftt"]:
        path.append(measured(run_block(path[-1], block, 1, case.padding)[0], kspace, mask))
    branches = []
    for i in range(1, case.cascades):
        image = path[i]
        for block in blocks["sfts"][i:]:
            image = measured(run_block(image, block, 1, case.padding)[0], kspace, mask)
        arrays[f"sft/branch{i}"] = image.numpy()
        branches.append(image)
    teacher = path[-1]
    arrays["sft/recon"] = teacher.numpy()
    imitation = [(branch - teacher).abs().mean() for branch in branches]
    losses = {
        "sft/teacher_rec": mean([(teacher - target).abs().mean()]),
        "sft/student_rec": mean([(branch - target).abs().mean() for branch in branches]),
        "sft/imitation_mean": mean(imitation),
        "sft/imitation_over_numel": mean([term / teacher.numel() for term in imitation]),
    }

    every = range(case.cascades)
    s_out, t_out, s_mid, t_mid = out["student"], out["teacher"], mid["student"], mid["teacher"]
    s_square, t_square = squares(s_out), squares(t_out)
    s_unit, t_unit = ([over_the_batch(e) for e in energies] for energies in (s_square, t_square))
    middle_cascade = case.fitnets - 1
    losses |= {
        "at/reference": mean([attention_reference(s_mid[k], t_mid[k]) for k in every]),
        "at/canonical": mean([attention_original(s_mid[k], t_mid[k]) for k in every]),
        "fitnets/reference": float(
            attention_reference(s_out[middle_cascade], t_out[middle_cascade])
        ),
        "fitnets/canonical_mid_cascade3_mse": float(
            ((s_mid[middle_cascade] - t_mid[middle_cascade]) ** 2).mean()
        ),
        "cc/reference": mean([neighbours(s_out[k], t_out[k]) for k in every]),
        "fsp/reference": mean([flow(s_square, t_square, k) for k in case.fsp]),
        "fsp/reference_selection": mean([flow(s_unit, t_unit, k) for k in case.fsp]),
        "fsp/mid_cascades1to4": mean([flow(s_mid, t_mid, k) for k in case.fsp]),
        "sp/reference": mean([similarity(s_out[k - 1], t_out[k - 1]) for k in case.sp]),
    }
    arrays |= {f"loss/{name}": np.array(value) for name, value in losses.items()}

    x_true, x_zero = target[:, 0].numpy(), zero_filled[:, 0].numpy()
    peak = x_true.max()
    hfn = []
    for a, b in zip(x_true, x_zero, strict=True):
        error = laplace(a) - laplace(b.clip(0, 1))
        hfn.append((error**2).sum() / (laplace(a) ** 2).sum())
    slices_last = [np.moveaxis(x, 0, -1) for x in (x_true, x_zero)]
    measures = {
        "psnr_volume": peak_signal_noise_ratio(x_true, x_zero, data_range=peak),
        "ssim_volume": structural_similarity(*slices_last, data_range=peak, channel_axis=-1),
        "hfn": np.mean(hfn),
        "nmse": ((x_true - x_zero) ** 2).sum() / (x_true**2).sum(),
    }
    arrays |= {f"metric/zf/{name}": np.array(value) for name, value in measures.items()}
    return {
        key: value.astype(np.float32) if value.dtype == np.float64 and value.ndim else value
        for key, value in arrays.items()
    }
