"""The checks of a training or evaluation command. They run before anything expensive starts."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog

from errseg.config import check_values, load_config, read_tree
from errseg.data import (
    apply_dataset_option,
    check_labels,
    images_per_step,
    is_dataset_file,
    register_dataset_files,
    require_dataset,
)
from errseg.errors import UsageError

from .best import best_set
from .devices import check_devices
from .keys import require_read_keys
from .launch import is_first_here, torchrun_world
from .writers import check_writers

__all__ = ["check_request", "processes_of", "require_datasets"]

SAMPLE = 32  # labels of a registered data set that are checked before a run


def check_request(args: argparse.Namespace) -> CfgNode:
    """Check the arguments of a command, and return its frozen configuration.

    Args:
        args: the parsed arguments of ``errseg train`` or ``errseg evaluate``.

    Raises:
        UsageError: a file, data set or device is missing, or two arguments exclude each other.
    """
    if not args.config_file:
        raise UsageError("No config file is given; add --config-file, with one of configs/.")
    if args.save_predictions and not args.eval_only:
        raise UsageError("--save-predictions is for an evaluation; add --eval-only.")
    processes, machines = processes_of(args)
    cfg = load_config(args.config_file, args.opts)
    if args.num_gpus > 0 and "MODEL.DEVICE" not in args.opts and not sets_device(args.config_file):
        cfg.MODEL.DEVICE = "cuda"  # --num-gpus asks for it
    require_read_keys(cfg)
    check_values(cfg)
    check_devices(cfg, processes)
    if cfg.MODEL.WEIGHTS and not args.resume and not Path(cfg.MODEL.WEIGHTS).is_file():
        raise UsageError(f"MODEL.WEIGHTS {cfg.MODEL.WEIGHTS} does not exist; give the path of a checkpoint.")
    if cfg.TEST.IMS_PER_BATCH < 1:
        raise UsageError(f"TEST.IMS_PER_BATCH is {cfg.TEST.IMS_PER_BATCH}; give a number of images of at least 1.")
    if args.dataset:
        apply_dataset_option(cfg, args.dataset, args.eval_only, args.opts)
    if not args.eval_only:
        if not cfg.DATASETS.TRAIN:
            raise UsageError("DATASETS.TRAIN is empty; name a registered data set, or add --eval-only.")
        images_per_step(cfg, processes * machines)
        require_datasets(cfg.DATASETS.TRAIN, "DATASETS.TRAIN")
    elif not cfg.DATASETS.TEST:
        raise UsageError("DATASETS.TEST is empty; name a registered data set.")
    cfg.DATASETS.TEST = require_datasets(cfg.DATASETS.TEST, "DATASETS.TEST", args.available)
    if not args.eval_only:
        best_set(cfg)
        check_writers(cfg)
    used = dict.fromkeys((*(() if args.eval_only else cfg.DATASETS.TRAIN), *cfg.DATASETS.TEST))
    for name in used:
        records = DatasetCatalog.get(name)  # an incomplete data set fails here, not hours later
        if is_first_here() and all("sem_seg_file_name" in record for record in records[:1]):
            # A registered data set has been checked before: a sample of its labels, read in this process, is enough.
            workers, sample = (None, None) if is_dataset_file(name) else (1, SAMPLE)
            check_labels(name, workers, sample, cfg.INPUT.MAX_PIXELS)
    if getattr(args, "shard", None):
        cfg.OUTPUT_DIR = str(Path(cfg.OUTPUT_DIR) / args.shard.folder)
    cfg.freeze()
    return cfg


def processes_of(args: argparse.Namespace) -> tuple[int, int]:
    """The number of processes on this machine, and the number of machines.

    Raises:
        UsageError: torchrun and the command's own options both ask for processes; a number or a rank is out of range;
            or several machines have no address.
    """
    world = torchrun_world()
    if args.num_gpus < 0:
        raise UsageError(f"--num-gpus is {args.num_gpus}; give a number of processes, or 0 for one.")
    if args.num_machines < 1:
        raise UsageError(f"--num-machines is {args.num_machines}; give a number of machines, at least 1.")
    if not 0 <= args.machine_rank < args.num_machines:
        raise UsageError(
            f"--machine-rank is {args.machine_rank}, but --num-machines is {args.num_machines}; give a number from 0 "
            f"to {args.num_machines - 1}."
        )
    if world is None:
        if args.num_machines > 1 and args.dist_url == "auto":
            raise UsageError("Several machines need a common address; add --dist-url tcp://HOST:PORT of the first.")
        return max(args.num_gpus, 1), args.num_machines
    if args.num_gpus or args.num_machines > 1:
        raise UsageError(
            f"torchrun has started {world.size} processes, so --num-gpus and --num-machines have no meaning; "
            "leave them out, and give the numbers to torchrun."
        )
    return world.local_size, world.size // world.local_size


def require_datasets(names: Sequence[str], key: str, available: bool = False) -> tuple[str, ...]:
    """Check that data sets exist, and register those that a file describes.

    Args:
        names: registered names, or paths of data-set files.
        key: the configuration key that names them.
        available: leave out missing data sets, with a message, instead of raising an error.

    Returns:
        The names of the data sets that exist.

    Raises:
        UsageError: a data set is missing; with ``available``, all are. The message names every missing data set.
    """
    missing: dict[str, UsageError] = {}
    for name in names:
        try:
            register_dataset_files([name])
            require_dataset(name, key)
        except UsageError as error:
            missing[name] = error
    found = tuple(name for name in names if name not in missing)
    if not missing:
        return found
    first = next(iter(missing.values()))
    if available and found:
        if is_first_here():
            for name, error in missing.items():
                print(f"left out: {name}. {error}", file=sys.stderr)
        return found
    if len(missing) == 1:
        raise first
    remedy = "prepare them" if available or key != "DATASETS.TEST" else "prepare them, or add --available"
    raise UsageError(
        f"{len(missing)} of the {len(names)} data sets of {key} are missing: {', '.join(missing)}; {remedy}. "
        f"The first: {first}"
    )


def sets_device(config_file: str) -> bool:
    """Whether a config file, or one of its base files, sets MODEL.DEVICE."""
    return "DEVICE" in read_tree(config_file).get("MODEL", {})
