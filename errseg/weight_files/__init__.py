"""Files of weights, from whomever: read as data, checked, and freed of what wraps them."""

from .fit import check_fit
from .reading import read_weight_file
from .unwrap import unwrap

__all__ = ["check_fit", "read_weight_file", "unwrap"]
