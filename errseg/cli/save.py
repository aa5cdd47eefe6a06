"""Write a model as a folder with a model card, or send it to the hub.

  errseg save output/errseg --out errseg-mine --license mit
  errseg save errseg_base.pth --push OWNER/NAME

MODEL is the folder of a training run, a checkpoint, or the id of a model on the
hub. The folder holds the weights as safetensors, the configuration, how
pictures are prepared, and a card with the scores of an evaluation.json beside
the weights. errseg.load reads it. --push needs an access token: hf auth login.
"""

import argparse
from pathlib import Path

from errseg.errors import UsageError

from .options import add_config
from .parser import Parser


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a run, a checkpoint, or OWNER/NAME")
    add_config(parser, help="the configuration (default: the one beside the weights)")
    add("--out", type=Path, metavar="DIR", help="the folder to write")
    add("--push", metavar="OWNER/NAME", help="send the model to this repository of the hub")
    add("--private", action="store_true", help="a new repository is private")
    add("--branch", metavar="NAME", help="the branch to send to (default: main)")
    add("--license", metavar="ID", help="the licence of the weights, by its id on the hub, such as mit")
    add("--evaluation", metavar="FILE", help="the evaluation.json of these weights (default: the one beside them)")


def run(args: argparse.Namespace) -> int:
    """Load, write, send."""
    from errseg.api import load

    if args.out is None and args.push is None:
        raise UsageError("nothing to do; add --out DIR, --push OWNER/NAME, or both.")
    if args.push is None and (args.private or args.branch):
        raise UsageError("--private and --branch belong to --push; add --push OWNER/NAME, or leave them out.")
    config, weights = (args.config, args.model) if args.config else (args.model, None)
    segmenter = load(config, weights, "cpu", overrides=args.opts)
    card = {"license": args.license, "evaluation": args.evaluation}
    if args.out is not None:
        segmenter.save_pretrained(args.out, repo_id=args.push, **card)
        print(f"{args.out}: {', '.join(sorted(path.name for path in args.out.iterdir()))}")
    if args.push is not None:
        print(segmenter.push_to_hub(args.push, private=args.private or None, branch=args.branch, **card))
    return 0
