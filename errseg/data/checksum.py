"""A checksum of a data set's labels: two machines with the same labels get the same checksum."""

import hashlib

import numpy as np

__all__ = ["DataChecksum"]

MODULUS = 2**256


class DataChecksum:
    """Checksum over the names of a data set's images and the class histograms of their labels.

    It does not depend on the order of the images, on their folders, or on the number of processes. Memory is constant:
    the SHA-256 digests of the images are added up.
    """

    def __init__(self, state: str | None = None):
        """
        Args:
            state: the text from :meth:`state` of another checksum; None: no image yet.
        """
        count, total = (state or "0:0").split(":")
        self.num_images = int(count)
        self._total = int(total, 16)

    def add(self, file_name: str, label: np.ndarray) -> bytes:
        """Count an image; returns its digest of 32 bytes.

        Args:
            file_name: path of the image; its folder does not count.
            label: (H, W) class ids as :class:`errseg.data.labels.LabelReader` gives them.
        """
        name = file_name.replace("\\", "/").rpartition("/")[2]
        histogram = np.bincount(label.ravel())
        ids = histogram.nonzero()[0]
        content = np.stack([ids, histogram[ids]]).astype("<i8").tobytes()
        digest = hashlib.sha256(name.encode() + b"\0" + content).digest()
        self._total = (self._total + int.from_bytes(digest, "big")) % MODULUS
        self.num_images += 1
        return digest

    def merge(self, other: "DataChecksum") -> None:
        """Count the images of another checksum too."""
        self._total = (self._total + other._total) % MODULUS
        self.num_images += other.num_images

    def state(self) -> str:
        """All that has been counted, as text to send to another process: ``DataChecksum(state)``."""
        return f"{self.num_images}:{self._total:064x}"

    def hexdigest(self) -> str:
        """The checksum: 64 hexadecimal digits."""
        return hashlib.sha256(self.state().encode()).hexdigest()
