"""A model as a folder: weights, configuration, preprocessing, model card; and the same folder on the hub.

model.safetensors     the weights
config.yaml           the configuration, without paths of the machine that wrote it
clip.json             the CLIP model, where the configuration names a file of it
preprocessing.json    how pictures are resized and normalised, and the origin of the weights
evaluation.json       the scores of these weights, where an evaluation of them is at hand
README.md             the model card
"""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from detectron2.config import CfgNode
from huggingface_hub import ModelHubMixin, constants

from errseg.atomic import replacing
from errseg.checkpoint.last import TAG
from errseg.config import as_data
from errseg.errors import UsageError, short
from errseg.evaluation.compare import load_run
from errseg.evaluation.provenance import file_digest, state_digest, versions
from errseg.evaluation.report import write_json
from errseg.failures import explained
from errseg.hub import WEIGHTS, hub_reachable
from errseg.modeling import OpenVocabularySegmenter, system_of
from errseg.modeling.clip import model_config
from errseg.safe_files import read_json
from errseg.weight_files import write_safetensors

from .card import CARD, Facts, card_of, is_card

__all__ = ["Origin", "Saved", "portable_config"]

CONFIG, CLIP, PREPROCESSING, EVALUATION = "config.yaml", "clip.json", "preprocessing.json", "evaluation.json"
METRICS = "metrics.json"  # of a training run
RUN, RELEASED, UNKNOWN = "run", "released", "unknown"  # where weights come from
LARGEST = 1 << 20  # bytes of a preprocessing.json


class Origin(NamedTuple):
    """The origin of weights."""

    kind: str  # RUN, RELEASED or UNKNOWN
    file: str  # the name of their first file; "" where it is not known


class Saved(ModelHubMixin):
    """Writes a ``Segmenter`` to a folder and to the hub. ``huggingface_hub``'s mixin does the sending."""

    model: OpenVocabularySegmenter
    cfg: CfgNode
    _hub_mixin_config = {}  # the mixin is not to derive one from the arguments of the constructor

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Any:
        """The same as ``errseg.load``, under the name that other libraries have for it.

        Args:
            pretrained_model_name_or_path: a folder, or an id on the hub.
            options: of ``errseg.load``, such as ``revision`` and ``device``.
        """
        from .loading import load

        return load(pretrained_model_name_or_path, **options)

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        license: str | None = None,
        evaluation: str | Path | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write the model to a folder, which ``errseg.load`` reads. Files of an earlier save there are replaced.

        Args:
            save_directory: the folder; it may hold other files.
            license: of the weights, by its id on the hub, such as "mit"; None: the card says that it is not known.
            evaluation: the ``evaluation.json`` whose scores the card shows, or its folder; None: the one beside the
                weights, if it is of these weights.
            push_to_hub: also send the folder to the hub, as ``push_to_hub`` does.
            repo_id: the id on the hub; None: the name of the folder.
            model_card_kwargs: ``license``, ``evaluation`` and ``repo_id``, as the hub's mixin gives them.
            push_to_hub_kwargs: options of ``push_to_hub``.

        Returns:
            The address of the commit on the hub; None without ``push_to_hub``.

        Raises:
            UsageError: the folder cannot be written, or has a README.md that is no card of errseg's; the evaluation is
                of other weights; the weights were rounded to another precision than float32; or see ``push_to_hub``.
        """
        folder = Path(save_directory)
        card = {"license": license, "evaluation": evaluation, "repo_id": repo_id, **(model_card_kwargs or {})}
        if self.model.precision != "float32":
            raise UsageError(
                f"The weights are rounded to {self.model.precision}; load the model in float32 to save it."
            )
        if (folder / CARD).exists() and not is_card(folder / CARD):
            raise UsageError(f"{folder / CARD} is no model card of errseg's; give another folder, or move it away.")
        with explained(folder):
            self._write(folder, **card)
        if not push_to_hub:
            return None
        return self.push_to_hub(repo_id or folder.name, license=license, evaluation=evaluation, **push_to_hub_kwargs)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        license: str | None = None,
        evaluation: str | Path | None = None,
        **options: Any,
    ) -> str:
        """Write the model's folder to a repository of the hub, which is made if there is none, in one commit.

        Args:
            repo_id: "owner/name", or "name" for your own.
            license, evaluation: see ``save_pretrained``.
            options: of the hub's mixin: ``private``, ``branch``, ``commit_message``, ``create_pr``, ``token``, …

        Returns:
            The address of the commit.

        Raises:
            UsageError: the hub cannot be reached or refuses; or see ``save_pretrained``.
        """
        if constants.HF_HUB_OFFLINE or not hub_reachable():
            reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "it cannot be reached"
            raise UsageError(
                f"{repo_id} was not sent to {constants.ENDPOINT}, since {reason}; save a folder, and send it later."
            )
        card = {"license": license, "evaluation": evaluation, "repo_id": repo_id}
        with _refusals(repo_id):
            return super().push_to_hub(repo_id, model_card_kwargs=card, **options)

    def _write(self, folder: Path, license: str | None, evaluation: str | Path | None, repo_id: str | None) -> None:
        """Write the files, the card last: a folder that has a card is complete."""
        cfg, model, source = self.cfg, self.model, Path(self.cfg.MODEL.WEIGHTS) if self.cfg.MODEL.WEIGHTS else None
        origin = _origin(source, getattr(model.weight_sources, "released", False))
        state = state_digest(model.state_dict().items())
        measured, left_out = _measured(source, evaluation, state)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (CARD, EVALUATION, CLIP):
            (folder / name).unlink(missing_ok=True)
        write_safetensors(model.state_dict(), folder / WEIGHTS)
        digest = file_digest(folder / WEIGHTS)
        if cfg.MODEL.CLIP.NAME.endswith(".json"):
            write_json(folder / CLIP, model_config(cfg.MODEL.CLIP.NAME))
        config = portable_config(cfg)
        with replacing(folder / CONFIG) as temporary:
            temporary.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        if measured:
            weights = {"file": WEIGHTS, "sha256": digest, "state_sha256": state}
            write_json(folder / EVALUATION, {**measured, "config": config, "weights": weights})
        described = {"file": WEIGHTS, "sha256": digest, "state_sha256": state, "origin": origin._asdict()}
        write_json(folder / PREPROCESSING, _preprocessing(cfg, model, described))
        size = sum(parameter.numel() for parameter in model.parameters())
        system = system_of(cfg)
        facts = Facts(system.name, system.citation, size, config, origin.kind, origin.file, measured, left_out)
        with replacing(folder / CARD) as temporary:
            text = card_of(facts, digest, license, repo_id or folder.resolve().name)
            temporary.write_text(text, encoding="utf-8")


def portable_config(cfg: CfgNode) -> dict[str, Any]:
    """A configuration without what is of one machine: its device, its folders, and weights that training began with."""
    content = as_data(cfg)
    del content["OUTPUT_DIR"], content["MODEL"]["DEVICE"]
    _forget_files(content["MODEL"])
    clip = content["MODEL"]["CLIP"]
    if Path(clip["PRETRAINED"]).name != clip["PRETRAINED"] or "." in clip["PRETRAINED"]:
        clip["PRETRAINED"] = ""  # a file, no tag of open_clip
    if clip["NAME"].endswith(".json"):
        clip["NAME"] = CLIP
    for key in ("TRAIN", "TEST"):  # registered names, or files that describe a data set
        content["DATASETS"][key] = [Path(name).name for name in content["DATASETS"][key]]
    return content


def _forget_files(section: dict[str, Any]) -> None:
    """Empty the keys of files of weights: the saved weights are the whole model's."""
    for key, value in section.items():
        if isinstance(value, dict):
            _forget_files(value)
        elif key.endswith("WEIGHTS") and isinstance(value, str):
            section[key] = ""


def _origin(weights: Path | None, is_released: bool) -> Origin:
    """The origin of the weights of a file: what the folder of a saved model tells, a run beside it, or a release."""
    if weights is None:
        return Origin(UNKNOWN, "")
    if is_released:
        return Origin(RELEASED, weights.name)
    described = weights.with_name(PREPROCESSING)
    if weights.name == WEIGHTS and described.is_file():
        content = read_json(described, "description", LARGEST)
        for key in ("errseg", "weights", "origin"):
            content = content.get(key) if isinstance(content, dict) else None
        if isinstance(content, dict) and content.get("kind") in (RUN, RELEASED, UNKNOWN):
            return Origin(content["kind"], short(content.get("file", "")))
    is_run = weights.with_name(METRICS).is_file() or weights.with_name(TAG).is_file()
    return Origin(RUN if is_run else UNKNOWN, weights.name)


def _measured(weights: Path | None, given: str | Path | None, state: str) -> tuple[dict[str, Any] | None, bool]:
    """The evaluation of weights, and whether one beside them was left out because it is of others.

    Args:
        weights: the file of the weights.
        given: the evaluation that the caller names; None: the one beside the weights.
        state: the digest of parameters and buffers.

    Raises:
        UsageError: the evaluation is damaged; or the caller names one of other weights.
    """
    if given is None and (weights is None or not weights.with_name(EVALUATION).is_file()):
        return None, False
    run = load_run(Path(given) if given is not None else weights.with_name(EVALUATION))  # type: ignore[union-attr]
    if run.weights.get("state_sha256") == state:
        return read_json(run.path, "evaluation"), False
    if given is not None:
        raise UsageError(f"{run.path} is an evaluation of other weights; evaluate these, or leave it out.")
    return None, True


def _preprocessing(cfg: CfgNode, model: OpenVocabularySegmenter, weights: dict[str, Any]) -> dict[str, Any]:
    """What has to be done to a picture before the network sees it, for readers without errseg."""
    views, native = model.views, model.views.native
    side = views.resolution
    return {
        "color_order": "RGB",
        "values": "0 to 255",
        "resize": {
            "shortest_side": cfg.INPUT.MIN_SIZE_TEST,  # 0: the picture's own size
            "longest_side": cfg.INPUT.MAX_SIZE_TEST,
            "method": "bilinear, of bytes, antialiased (Pillow)",
        },
        "normalization": {"mean": list(cfg.MODEL.PIXEL_MEAN), "std": list(cfg.MODEL.PIXEL_STD)},
        "network": {
            "size": None if native or views.keep_aspect or views.sliding_window else [side, side],
            "method": "bilinear, of normalised values, not antialiased, aspect ratio not kept",
            "keeps_aspect": bool(native or views.keep_aspect),
            "sliding_window": side if views.sliding_window else None,
            "scales": list(views.scales),
            "flip": views.flip,
        },
        "errseg": {
            "versions": versions(),
            "system": system_of(cfg).name,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "weights": weights,
        },
    }


@contextmanager
def _refusals(repo_id: str) -> Iterator[None]:
    """Turn the errors of sending into a sentence."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # the hub's library raises many types
        reason = short(error, 200).rstrip(".") or type(error).__name__
        raise UsageError(
            f"{repo_id} was not sent to {constants.ENDPOINT} ({reason}); correct the id, or log in with: hf auth login."
        ) from error
