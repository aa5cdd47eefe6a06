"""The engine for very many pictures: Ray Data streams them through actors that hold the model.

``storage`` reads and writes folders and stores, ``inputs`` lists pictures, ``worker`` segments them,
``masks`` keeps run-length masks in Parquet files, ``job`` keeps the ledger, and ``engine`` alone knows Ray.
"""

from .engine import Cluster, predict_with_ray, require_ray
from .worker import ModelSpec

__all__ = ["Cluster", "ModelSpec", "predict_with_ray", "require_ray"]
