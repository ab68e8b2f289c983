"""`rfbench predict`: lesion probabilities and an overlay for any fundus photograph.

For each photograph `<stem>_<lesion>.png`, the probabilities at its own size as 16-bit grey (65535 is 1), and
`<stem>_overlay.png`, the regions above the threshold outlined in the papers' colours (HE green, MA blue, EX red, SE
yellow; lesions may overlap, then one outline runs around the other). `predictions.json` says which network made them;
a folder holds the maps of one network, and more photographs may follow. A photograph's EXIF orientation is applied
first. For research; no medical device.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import ImageOps
from rich.console import Console
from rich.progress import track

from rfbench import provenance
from rfbench.data.labels import UNREADABLE, opened
from rfbench.errors import RFBenchError
from rfbench.evaluate import predict
from rfbench.files import write_changed
from rfbench.inference import trained
from rfbench.report.show import overlay
from rfbench.training.train import device_name

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
RECORD = "predictions.json"
COMMON = ("checkpoint", "settings", "threshold")  # to all that one folder holds
FULL_SCALE = 65535  # grey value of probability 1
COLOUR = ("RGB", "RGBA", "P", "CMYK", "YCbCr")  # Pillow's modes


def read_photograph(path: Path) -> np.ndarray:
    """A colour photograph as (H, W, 3) uint8 in BGR order, upright.

    Raises:
        RFBenchError: no such file, damaged, not of one of FORMATS, or not in colour.
    """
    try:
        with opened(path.read_bytes(), FORMATS) as image:
            if image.mode not in COLOUR:
                raise ValueError(f"mode {image.mode}")
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except UNREADABLE as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RFBenchError(f"{path}: expected a colour photograph ({', '.join(FORMATS)}), found: {what}.") from error
    return np.ascontiguousarray(np.asarray(upright)[..., ::-1])


def save_maps(folder: Path, stem: str, maps: torch.Tensor, lesions: list[str]) -> None:
    """Write probabilities (L, H, W) as `<stem>_<lesion>.png`, 16-bit grey, 65535 for 1."""
    for lesion, values in zip(lesions, maps.cpu().numpy(), strict=True):
        _, encoded = cv2.imencode(".png", np.rint(values * FULL_SCALE).astype(np.uint16))
        write_changed(folder / f"{stem}_{lesion}.png", encoded.tobytes())


def outlined(image: np.ndarray, maps: torch.Tensor, lesions: list[str], threshold: float, title: str) -> np.ndarray:
    """The photograph (H, W, 3) with the regions where the probability exceeds the threshold outlined, as in `show`."""
    return overlay(image, (maps > threshold).cpu().numpy(), tuple(lesions), title)


def predict_file(path: Path, model: torch.nn.Module, dataset: dict, device: torch.device, folder: Path,
                 threshold: float) -> dict:  # fmt: skip
    """Write one photograph's maps and overlay; its size and the share of pixels above the threshold by lesion."""
    image = read_photograph(path)
    maps = predict(model, image, tuple(dataset["scale"]), device)
    height, width = image.shape[:2]
    title = f"{path.name}  {width}x{height} px  probability > {threshold:g}"
    _, encoded = cv2.imencode(".png", outlined(image, maps, dataset["lesions"], threshold, title))
    save_maps(folder, path.stem, maps, dataset["lesions"])
    write_changed(folder / f"{path.stem}_overlay.png", encoded.tobytes())
    above = (maps > threshold).float().mean((1, 2)).tolist()
    return {"size": [width, height], "above": dict(zip(dataset["lesions"], above, strict=True))}


def predicted_before(folder: Path, record: dict) -> dict:
    """The images that the folder's record holds already.

    Raises:
        RFBenchError: the folder is none, or another checkpoint, setting or threshold made what it holds.
    """
    if folder.exists() and not folder.is_dir():
        raise RFBenchError(f"--output {folder}: expected a folder, found a file.")
    if not (folder / RECORD).exists():
        return {}
    earlier = provenance.read_json(folder / RECORD)
    differing = [key for key in COMMON if earlier.get(key) != record[key]]
    if differing:
        raise RFBenchError(
            f"--output {folder}: holds photographs predicted otherwise; not the same: {', '.join(differing)}. "
            "Choose another folder."
        )
    return earlier["images"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = __doc__
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help=f"photographs ({', '.join(FORMATS)})")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE",
                        help="weights: a run's work/model.pth, or the M2MRF authors'")  # fmt: skip
    parser.add_argument("--pair", help="operator pair (default: the checkpoint's own)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the maps and overlays")
    parser.add_argument("--threshold", type=float, default=0.5, help="probability outlined from (%(default)s)")
    parser.add_argument("--layout", choices=("idrid", "ddr"), default="idrid",
                        help="protocol where neither option nor checkpoint say (%(default)s)")  # fmt: skip
    trained.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Predict every photograph; 1 if one could not be read, after the others are done."""
    twice = [stem for stem, count in Counter(path.stem for path in args.images).items() if count > 1]
    if twice:
        raise RFBenchError(f"IMAGE: two photographs are named {twice[0]}, and so would their maps be. Rename one.")
    if not 0 < args.threshold < 1:
        raise RFBenchError(f"--threshold: expected a probability between 0 and 1, found {args.threshold:g}.")
    settings, sources = trained.settle(args, args.layout)
    record = {"kind": "prediction", "settings": settings, "sources": sources, "threshold": args.threshold,
              "full_scale": FULL_SCALE, "checkpoint": trained.identity(args.checkpoint)}  # fmt: skip
    earlier = predicted_before(args.output, record)
    model, device = trained.network(settings, args.checkpoint, args.device)
    print("\n".join(trained.describe(settings, sources)), file=sys.stderr)
    done, failed, console = {}, [], Console(stderr=True)
    for path in track(args.images, "predicting", console=console, disable=not console.is_terminal):
        try:
            done[path.name] = predict_file(path, model, settings["dataset"], device, args.output, args.threshold)
        except RFBenchError as error:
            failed.append(path)
            named = error if str(error).startswith(str(path)) else f"{path}: {error}"
            print(f"rfbench predict: {named}", file=sys.stderr)
    kept = {name: image for name, image in earlier.items() if Path(name).stem not in {Path(new).stem for new in done}}
    record |= {"images": kept | done, "provenance": provenance.collect(device_name(device))}
    provenance.write_json(args.output / RECORD, record)
    print(f"{args.output}: {len(done)} of {len(args.images)} photographs predicted", file=sys.stderr)
    return int(bool(failed))
