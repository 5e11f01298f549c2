"""The command `reconstruct`: reconstructs files with a trained network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src.commands import Made, Subcommands, add_command, add_modules
from pipeline_src.config.reconstruction import SHAPING
from pipeline_src.errors import InputError
from pipeline_src.planning.places import RECONSTRUCTIONS
from pipeline_src.planning.steps import reconstruct_step
from pipeline_src.text import printable

if TYPE_CHECKING:
    from pipeline_src.inference.trained import Trained

#: Options that shape the results besides those that a configuration gives too; they stand in the
#: manifest where they are given.
MORE_SHAPING = (
    "error_bound",
    "mask",
    "kspace_order",
    "scale",
    "threads",
    "device",
    "convolutions",
    "batch",
)


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, reconstruct, study=False)
    sub.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="NIfTI, .npy, .npz or HDF5 of images or k-space; folders of these; patterns in "
        "quotes; or the sample.safetensors of a bundle, a drawn phantom",
    )
    sub.add_argument(
        "--model", type=Path, required=True, metavar="FOLDER", help="of a training, or a bundle"
    )
    sub.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="results go there"
    )
    sub.add_argument(
        "--pattern",
        default="**/*",
        metavar="GLOB",
        help="files to use in a folder, such as 'sub-*/anat/*_T1w.nii.gz' (default: all)",
    )
    sub.add_argument(
        "--slice-axis",
        type=int,
        choices=(0, 1, 2),
        help="axis of the file that slices lie along (default: as in the model's training, or 2)",
    )
    sub.add_argument(
        "--other-size",
        choices=("crop", "redraw"),
        help="slices of another size than the model's: crop or pad them, or draw a mask for them",
    )
    sub.add_argument("--mask", type=Path, metavar="FILE", help="of the samples: .npz or .npy")
    sub.add_argument(
        "--kspace-order",
        choices=("fft", "shifted", "centred"),
        default="fft",
        help="where the zero frequency is: at index 0 (fft), or in the middle, as after "
        "fftshift(fft2(image)) (shifted), or with the image's centre in the middle too (centred, "
        "as in fastMRI) (default: %(default)s)",
    )
    sub.add_argument(
        "--scale", type=float, metavar="NUMBER", help="divide by this instead of the maximum"
    )
    sub.add_argument(
        "--anyway",
        action="store_true",
        help="also use masks that the model was not trained for; not sizes",
    )
    sub.add_argument(
        "--error-bound",
        type=Path,
        metavar="FILE",
        help="also write how far off each pixel may be, as calibrated by the calibrate command",
    )
    sub.add_argument(
        "--no-pictures",
        dest="pictures",
        action="store_false",
        help="no picture beside each result; of many small files it takes longer than the result",
    )
    sub.add_argument(
        "--trained-mask", type=Path, metavar="FILE", help="mask of the training, if it has moved"
    )
    sub.add_argument(
        "--threads",
        type=int,
        help="CPU threads (default: as in training; other numbers change the last bits)",
    )
    sub.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    sub.add_argument(
        "--convolutions",
        choices=("library", "compiled"),
        default="library",
        help="torch's, which give what the evaluation measured, or compiled ones, faster for large "
        "slices and the same to about 1e-6 (default: %(default)s)",
    )
    sub.add_argument(
        "--batch",
        type=int,
        help="slices in memory at once (default: as in evaluation; another number may change the "
        "last bits)",
    )
    add_modules(sub)
    sub.add_argument(
        "--keep-going",
        action="store_true",
        help="leave out files that cannot be used, name each, and exit with status 1",
    )
    sub.set_defaults(usual=sub.get_default)


def reconstruct(options: argparse.Namespace) -> Made:
    """Reconstruct files with a trained model."""
    from pipeline_src.data.data_files import refuse_no_utf8
    from pipeline_src.evaluation.evaluate import BATCH
    from pipeline_src.inference.batch import Run
    from pipeline_src.inference.bundle_files import MOST_THREADS
    from pipeline_src.inference.inputs import is_nifti, list_inputs, open_input
    from pipeline_src.inference.left_out import LeftOut
    from pipeline_src.inference.reconstruct import place, use_convolutions
    from pipeline_src.inference.trained import NO_ORIGIN, load_trained
    from pipeline_src.inference.volume_plan import Options
    from pipeline_src.models.registry import import_modules

    import_modules(options.modules)
    for name, most in (("batch", None), ("threads", MOST_THREADS)):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name} {value}: must be 1 or more")
        if value is not None and most is not None and value > most:
            raise InputError(f"--{name} {value}: must be {most} or less")
    refuse_no_utf8([options.model, options.output])
    if options.output.exists() and not options.output.is_dir():
        raise InputError(f"--output {options.output}: is a file; give a folder")
    if options.scale is not None and not 0 < options.scale < float("inf"):
        raise InputError(f"--scale {options.scale}: must be a number above 0")
    trained = load_trained(options.model, options.trained_mask)
    origin, axis = trained.config.origin, options.slice_axis
    volumes, unknown, left_out = [], False, LeftOut(options.keep_going)
    for path, below in list_inputs(options.inputs, options.pattern, options.output, left_out):
        own_axis = 2 if axis is None else axis
        turned = None
        if axis is None and is_nifti(path):
            own_axis, turned = origin.slice_axis, origin.orientation
            unknown |= trained.lost_its_store
        with left_out():
            volumes.append(open_input(path, below, own_axis, turned))
    if unknown:
        print(printable(f"warning: {trained.folder}: {NO_ORIGIN}"), file=sys.stderr)
    threads = options.threads or trained.config.threads
    device = place(options.device, threads)
    use_convolutions(trained, options.convolutions, device)
    asked = Options(
        options.other_size,
        options.mask,
        options.kspace_order,
        options.scale,
        options.anyway,
        BATCH if options.batch is None else options.batch,
        options.error_bound,
    )
    settings = {
        "device": device.type,
        "threads": threads,
        "convolutions": options.convolutions,
    }
    run = Run(
        *(trained, volumes, options.output, asked, device, settings, left_out),
        pictures=options.pictures,
    )
    for remark in run.remarks():
        print(printable(f"warning: {remark}"), file=sys.stderr)
    made, before = run()
    kinds = {"image": "undersampled here (retrospective)", "kspace": "measured (prospective)"}
    told = ", ".join(
        f"{count} {kinds[domain]}" for domain in kinds if (count := run.domains().count(domain))
    )
    already = f", {before} existed already" if before else ""
    already += f", {len(left_out.errors)} left out" if left_out.errors else ""
    found = f"; {quality}" if (quality := run.overview.quality()) else ""
    print(printable(f"{options.output}: {made} reconstructed{already}; {told}{found}"))
    _warn(
        options.output,
        run.overview.worse(),
        "are farther from the input than the zero-filled image",
    )
    _warn(
        options.output,
        run.overview.badly_scaled(),
        "were divided by a --scale far from their maximum, unlike any image of the training",
    )
    _warn(options.output, run.of_other_models(), "that other weights made lie there too")
    step = reconstruct_step(_settings(options, trained), [])
    facts = {"left_out": left_out.errors} if left_out.errors else {}
    status = 1 if left_out.errors else 0
    return Made(run.inputs(), [options.output / RECONSTRUCTIONS], step, facts, status)


def _warn(output: Path, names: list[str], what: str) -> None:
    """Say on stderr what is true of some results; nothing if it is of none."""
    if names:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        print(printable(f"warning: {output}: {len(names)} {what} ({shown})"), file=sys.stderr)


def _settings(options: argparse.Namespace, trained: Trained) -> dict[str, Any]:
    """What defines the results besides the files, as a configuration says it where it can."""
    told = {"dataset": trained.config.dataset, "acceleration": trained.config.acceleration}
    told |= {"seed": str(trained.made.get("seed", "")), "model": trained.config.model}
    given = {
        key: str(value)
        for key in MORE_SHAPING
        if (value := getattr(options, key)) != options.usual(key)
    }
    return {"trained": told, **{key: getattr(options, key) for key in SHAPING}, **given}
