"""A resize of images and label maps."""

import numpy as np
import torch
from fvcore.transforms.transform import Transform
from PIL import Image
from torch.nn import functional as F

__all__ = ["ResizeTransform"]

_TORCH_MODES = {Image.NEAREST: "nearest", Image.BILINEAR: "bilinear", Image.BICUBIC: "bicubic"}


class ResizeTransform(Transform):
    """Resize to ``new_h`` × ``new_w`` pixels: with PIL, antialiased, for uint8; with torch, not, for other types.

    Args:
        h: height of the input.
        w: width of the input.
        new_h: height of the output.
        new_w: width of the output.
        interp: PIL's interpolation of images; label maps always take the nearest.
    """

    def __init__(self, h: int, w: int, new_h: int, new_w: int, interp: int | None = None) -> None:
        super().__init__()
        interp = Image.BILINEAR if interp is None else interp
        self._set_attributes({"h": h, "w": w, "new_h": new_h, "new_w": new_w, "interp": interp})

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        """(h, w) or (h, w, C) to (new_h, new_w) or (new_h, new_w, C), of the same type."""
        if img.shape[:2] != (self.h, self.w):
            raise AssertionError(f"A resize of {self.h} x {self.w} images was given one of {img.shape[:2]}.")
        interp = self.interp if interp is None else interp
        if img.dtype == np.uint8:
            one_channel = img.ndim == 3 and img.shape[2] == 1
            image = Image.fromarray(img[:, :, 0] if one_channel else img)
            resized = np.asarray(image.resize((self.new_w, self.new_h), interp))
            return resized[:, :, None] if one_channel else resized

        mode = _TORCH_MODES[interp]
        channels = torch.from_numpy(np.ascontiguousarray(img if img.dtype.kind == "f" else img.astype(np.float64)))
        channels = channels.reshape(1, self.h, self.w, -1).permute(0, 3, 1, 2)
        align = None if mode == "nearest" else False
        resized = F.interpolate(channels, (self.new_h, self.new_w), mode=mode, align_corners=align)
        return resized.permute(0, 2, 3, 1).reshape(self.new_h, self.new_w, *img.shape[2:]).numpy().astype(img.dtype)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """(N, 2) points x, y."""
        coords[:, 0] *= self.new_w / self.w
        coords[:, 1] *= self.new_h / self.h
        return coords

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """(h, w) class ids to (new_h, new_w)."""
        return self.apply_image(segmentation, interp=Image.NEAREST)

    def inverse(self) -> "ResizeTransform":
        return ResizeTransform(self.new_h, self.new_w, self.h, self.w, self.interp)
