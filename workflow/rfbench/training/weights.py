"""Fetch the ImageNet checkpoint of a backbone and check its digest."""

import os
import shutil
from pathlib import Path
from urllib.error import URLError

from rfbench import provenance
from rfbench.errors import RFBenchError
from rfbench.settings import expand, is_address


def fetch(source: str, sha256: str, output: Path) -> None:
    """Copy or download a checkpoint to `output`, whole or not at all.

    Args:
        source: file or URL.
        sha256: digest in hexadecimal, or at least its first eight digits.

    Raises:
        RFBenchError: the source cannot be read, or its digest is another.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        if is_address(source):
            import torch

            torch.hub.download_url_to_file(source, str(partial))
        else:
            shutil.copyfile(expand(source), partial)
        found = provenance.sha256(partial)
        if not found.startswith(sha256):
            raise RFBenchError(
                f"{source}: expected SHA-256 {sha256}, found {found}. The file is damaged or another one."
            )
        os.replace(partial, output)
    except (OSError, URLError) as error:
        raise RFBenchError(
            f"{source}: cannot be read ({error}). Download it by hand and give its path as model.pretrained.source, "
            "or set model.pretrained to none (the tables will say so)."
        ) from None
    finally:
        partial.unlink(missing_ok=True)
