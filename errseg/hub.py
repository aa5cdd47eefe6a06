"""Models of the Hugging Face hub: their ids, and their files, downloaded once into the cache of ``huggingface_hub``.

Only the files that errseg reads are downloaded, and all of them are read as data. Without a network, the hub's
cache is used.
"""

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlparse

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

from .errors import UsageError, short

__all__ = ["CHECKPOINTS", "WEIGHTS", "HubModel", "fetch", "hub_model", "hub_reachable"]

WEIGHTS = "model.safetensors"  # of a folder that ``save_pretrained`` has written
CHECKPOINTS = (".pth", ".pt", ".safetensors", ".bin")
BESIDE = ("config.yaml", "preprocessing.json", "evaluation.json", "clip.json")  # files of errseg beside the weights
LOCAL = (*CHECKPOINTS, ".yaml", ".yml", ".json", ".pkl", ".onnx")  # a name with such an ending is a local file's
PREFIX = "hf://"
ID = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(@(?P<revision>[\w.-]+))?(/(?P<file>[^\\:]+))?", re.ASCII
)
PLAIN_PART = re.compile(r"[^.\\:/][^\\:/]*")  # of the path of a file: no hidden file, no folder above
MOST_LISTED = 5
TIMEOUT = 10.0  # seconds


class HubModel(NamedTuple):
    """The id of a model on the hub."""

    repo: str  # "owner/name"
    revision: str | None = None  # a branch, a tag or a commit; None: main
    file: str | None = None  # the weights, where the repository has several

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else self.repo


def hub_model(text: str) -> HubModel | None:
    """The id in a text: "owner/name", "owner/name@revision", or "hf://owner/name[@revision][/file]"; None: no id.

    Raises:
        UsageError: a text begins with "hf://" and is no id.
    """
    is_address = text.startswith(PREFIX)
    match = ID.fullmatch(text.removeprefix(PREFIX))
    if match and (is_address or not (match["file"] or match["repo"].lower().endswith(LOCAL))):
        return HubModel(match["repo"], match["revision"], match["file"])
    if is_address:
        raise UsageError(
            f"{short(text)} is no id of a model; give {PREFIX}OWNER/NAME, {PREFIX}OWNER/NAME@REVISION/FILE."
        )
    return None


def fetch(model: HubModel) -> Path:
    """The weights of a model in the hub's cache, after a download if they are not there. Files beside them come too.

    Raises:
        UsageError: the hub has no such model, revision or file, or the repository holds several checkpoints; or the hub
            cannot be reached, and the cache has no such model.
    """
    reason = f"{constants.ENDPOINT} cannot be reached"
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set"
    elif hub_reachable():
        try:
            return _download(model)
        except UsageError:
            raise
        except Exception as error:  # of the network, the server, or a cache that cannot be written
            reason = short(error, 200).rstrip(".") or type(error).__name__
    try:
        folder = Path(snapshot_download(model.repo, revision=model.revision, local_files_only=True))
        names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        return folder / _weights_of(model, names)
    except UsageError:
        raise
    except Exception as error:  # the library raises many types
        raise UsageError(
            f"There is no file or folder {model}, and the hub's cache has no model of this id ({reason}); correct the "
            "path, or connect to the hub once."
        ) from error


def hub_reachable(timeout_s: float = 3.0) -> bool:
    """Whether the hub accepts a connection. Behind a proxy this is assumed."""
    if any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    url = urlparse(constants.ENDPOINT)
    try:
        with socket.create_connection((url.hostname, url.port or (80 if url.scheme == "http" else 443)), timeout_s):
            return True
    except OSError:
        return False


def _download(model: HubModel) -> Path:
    with _refusals(model):
        found = HfApi().model_info(model.repo, revision=model.revision, timeout=TIMEOUT)
        names = [each.rfilename for each in found.siblings or ()]
        weights = _weights_of(model, names)
        beside = [str(PurePosixPath(weights).with_name(name)) for name in BESIDE]
        for name in (name for name in beside if name in names):
            hf_hub_download(model.repo, name, revision=model.revision)
        return Path(hf_hub_download(model.repo, weights, revision=model.revision))


@contextmanager
def _refusals(model: HubModel) -> Iterator[None]:
    """Turn the hub's refusals into sentences."""
    try:
        yield
    except GatedRepoError as error:
        raise UsageError(
            f"The hub's model {model.repo} asks for your consent; give it on {constants.ENDPOINT}/{model.repo}, and "
            "log in with: hf auth login."
        ) from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"There is no file or folder {model}, and no public model of this id on {constants.ENDPOINT}; correct it, "
            "or log in with: hf auth login."
        ) from error
    except RevisionNotFoundError as error:
        raise UsageError(
            f"The hub's model {model.repo} has no revision {model.revision}; give a branch, a tag or a commit of it."
        ) from error
    except HFValidationError as error:
        raise UsageError(f"{model} is no id of a model ({short(error, 200).rstrip('.')}); correct it.") from error


def _weights_of(model: HubModel, names: Sequence[str]) -> str:
    """The file of the weights among the files of a repository.

    Raises:
        UsageError: there is none, or there are several.
    """
    plain = [name for name in names if all(map(PLAIN_PART.fullmatch, name.split("/")))]
    found = sorted(name for name in plain if name.lower().endswith(CHECKPOINTS))
    listed = ", ".join(found[:MOST_LISTED]) + (" …" if len(found) > MOST_LISTED else "") or "none"
    if model.file is not None:
        if model.file not in found:
            raise UsageError(f"The hub's model {model} has no checkpoint {model.file}; there is {listed}.")
        return model.file
    if WEIGHTS in found:
        return WEIGHTS
    if not found:
        raise UsageError(f"The hub's model {model} holds no checkpoint ({', '.join(CHECKPOINTS)}); give another id.")
    if len(found) > 1:
        raise UsageError(
            f"The hub's model {model} holds {len(found)} checkpoints ({listed}); choose one, as in "
            f"{PREFIX}{model}/{found[0]}."
        )
    return found[0]
