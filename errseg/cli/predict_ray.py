"""``errseg predict --engine ray``."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .options import model_of, names_of

if TYPE_CHECKING:
    from errseg.batch import Settings

SHOWN = 10  # inputs that failed


def run_with_ray(args: argparse.Namespace, settings: "Settings") -> int:
    """Load the model here once, for the request of the ledger; then stream the pictures through the workers."""
    from errseg.api import load
    from errseg.api.names import as_vocabulary
    from errseg.batch.cluster import Cluster, ModelSpec, predict_with_ray, require_ray
    from errseg.batch.cluster.job import FAILED
    from errseg.batch.ledger import request_of
    from errseg.batch.report import counts

    require_ray()
    names = names_of(args)
    assert names is not None  # the options require them
    vocabulary = as_vocabulary(names)
    config, weights = model_of(args.weights, args.config)
    config, weights = _shared(config), weights and _shared(weights)
    model = load(config, weights, "cpu", args.precision, args.opts)
    model.set_vocabulary(vocabulary, args.num_classes)
    request = request_of(model, settings.background, settings.min_confidence)
    del model  # the workers have their own
    options = (args.device, args.precision, tuple(args.opts), vocabulary, args.num_classes)
    spec = ModelSpec(config, weights, *options, request["weights"])
    on_gpu = None if args.device == "auto" else args.device.startswith("cuda")
    cluster = Cluster(args.workers, on_gpu, args.address)
    outcome = predict_with_ray(spec, request, args.images, str(args.out), settings, cluster)
    print("\n".join(counts(outcome, args.out, FAILED)))
    for problem in outcome.problems[:SHOWN]:
        print(f"  {problem}", file=sys.stderr)
    if outcome.stopped:
        print("Interrupted: the same command continues from here.", file=sys.stderr)
        return 130
    return 1 if outcome.problems else 0


def _shared(path: str) -> str:
    """A path as workers in other folders know it; the name of a configuration or of a model on the hub as it is."""
    return os.path.abspath(path) if Path(path).exists() else path
