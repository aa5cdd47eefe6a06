"""DeOP: open-vocabulary segmentation from mask proposals and one pass through CLIP."""
