"""The keys of MODEL, INPUT and TEST, of all systems, that do not decide what a trained model predicts.

A system declares its own such keys in its record (``System.training_keys``).

Every other key of these sections counts: where it changes, predictions that were made before are not reused. A key that
is not in these tables counts too, so that a new key is never missed. Put a key here only if nothing but training reads
it; ``tests/config/test_settings.py`` predicts with all keys of ``TRAINING_ONLY`` changed.
"""

__all__ = ["COMPARED_APART", "SCORED_WITH", "TRAINING_ONLY"]

# Training's own: full keys, no sections, since a system may add a key of another kind to a section.
TRAINING_ONLY = frozenset(
    {
        "MODEL.GRADIENT_CHECKPOINTING",
        "MODEL.SEM_SEG_HEAD.IGNORE_VALUE",  # of the loss; a data set has its own ignored label
        "MODEL.CLIP.DROP",
        "MODEL.CLIP.DROP_PATH",
        "MODEL.CLIP.FINETUNE_IMAGE",
        "MODEL.CLIP.FINETUNE_TEXT",
        "INPUT.RESOLUTION_TRAIN",
        "INPUT.MIN_SIZE_TRAIN",
        "INPUT.MAX_SIZE_TRAIN",
        "INPUT.MIN_SIZE_TRAIN_SAMPLING",
        "INPUT.RANDOM_FLIP",
        "INPUT.COLOR_AUG_SSD",
        "INPUT.SIZE_DIVISIBILITY",
        "INPUT.CROP.ENABLED",
        "INPUT.CROP.TYPE",
        "INPUT.CROP.SIZE",
        "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA",
        "TEST.EVAL_PERIOD",
    }
)
# They turn predictions into scores: predictions are reused where they change, but the scores are not comparable.
SCORED_WITH = frozenset({"TEST.MEAN_OVER"})
# Neither training's own nor a setting of the predictions.
COMPARED_APART = frozenset(
    {
        "MODEL.WEIGHTS",  # a path: the weights themselves are compared, by their digest
        "MODEL.CLIP.PRETRAINED",  # likewise
        "MODEL.DEVICE",  # changes results by rounding alone
        "TEST.IMS_PER_BATCH",  # likewise
        "INPUT.MAX_PIXELS",  # refuses pictures, and changes none
    }
)
