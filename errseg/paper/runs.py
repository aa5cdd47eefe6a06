"""Training runs of an ablation's rows: a finished one is used, a missing one trained, an interrupted one goes on."""

from pathlib import Path

from errseg.config import load_config
from errseg.config.packaged import config_names, config_path
from errseg.evaluation.compare import Run, load_run
from errseg.mini import ablate
from errseg.mini.done import check_done, is_done
from errseg.safe_files import read_yaml

from .request import MINI, REAL, Request

__all__ = ["configs_of", "label_of", "mini_results", "results_of", "rows_of"]


VIT, MINI_VIT = "errseg_vit_base16", "mini/errseg_vit_mini"  # ERR-Seg with a plain ViT


def configs_of() -> Path:
    """The folder of the rows' configuration files."""
    return Path(config_path("ablations/table5_without_crm")).parent


def rows_of(prefix: str) -> list[str]:
    """The full model, where the table has it, and the stems of the files of a table's or figure's rows.

    Args:
        prefix: of the files, such as "table5" or "fig6".
    """
    stems = [name.partition("/")[2] for name in config_names() if name.startswith(f"ablations/{prefix}_")]
    in_paper = [row for row in ablate.PAPER if row in stems]
    full = [] if prefix == "table12" else [ablate.FULL]  # Table XII compares two frozen models
    return [*full, *in_paper, *(stem for stem in stems if stem not in in_paper)]


def label_of(row: str) -> str:
    """What a table calls a row."""
    return row if row == ablate.FULL else ablate.label_of(configs_of() / f"{row}.yaml").split(" (")[0]


def results_of(request: Request, row: str) -> list[Run]:
    """The evaluations of a row, one for each seed; fewer where a run is missing and may not be trained.

    Raises:
        UsageError: a training failed, or an existing run had another configuration.
    """
    if request.mini:
        return [mini_results(request, row, seed) for seed in range(request.seeds)]
    runs = [_real(request, row, seed) for seed in range(request.seeds)]
    return [run for run in runs if run is not None]


def mini_results(request: Request, row: str, seed: int) -> Run:
    """The evaluation of a row on the mini world; it and its CLIP are trained where they are missing."""
    config, tower, clip = _mini_model(row)
    ablate.prepare(request.runs, tower, clip)
    ablate.run(row, seed, request.runs, request.config or config, configs_of(), request.opts, clip)
    return load_run(ablate.folder_of(request.runs, row, seed))


def _mini_model(row: str) -> tuple[str, str, str]:
    """The configuration that a row changes on the mini world, the image tower of its CLIP, and the CLIP's file."""
    if row != ablate.FULL and Path(read_yaml(configs_of() / f"{row}.yaml", "config file")["_BASE_"]).stem == VIT:
        return MINI_VIT, "vit", "clip_vit.pt"
    return MINI, "convnext", ablate.CLIP


def _real(request: Request, row: str, seed: int) -> Run | None:
    """The evaluation of a row on the paper's data; None where it is missing and there is no ``--gpus``."""
    folder = ablate.folder_of(request.runs, row, seed)
    evaluation = folder / "evaluation.json"
    config = request.config or REAL
    keys = [] if row == ablate.FULL else ablate.changed_keys(configs_of() / f"{row}.yaml")
    keys = ["TEST.EVAL_PERIOD", "100000000", "SEED", str(seed), "OUTPUT_DIR", str(folder), *request.opts, *keys]
    if is_done(evaluation, request.sets):
        check_done(evaluation, load_config(config, keys))
        return load_run(evaluation)
    if request.gpus is None:
        return None
    words = ["--config", config, *(["--gpus", str(request.gpus)] if request.gpus else []), *keys]
    ablate.train(words, folder, f"{row}, seed {seed}")
    return load_run(evaluation)
