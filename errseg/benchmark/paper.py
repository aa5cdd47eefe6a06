"""Tables III and X of the paper, with our figures beside the paper's."""

from collections.abc import Sequence
from typing import NamedTuple

from detectron2.config import CfgNode

from ..errors import UsageError
from ..modeling import system_of
from .rows import Row
from .tables import duration, form_of, heading, markdown, memory, number

TABLE3_VOCABULARIES = ("ade20k_847", "ade20k_150")
TABLE10_VOCABULARIES = ("ade20k_150",)


class Method(NamedTuple):
    """A row of Table III: milliseconds, GFLOPs and mIoU on A-847, then on A-150."""

    name: str
    a847: tuple[int, int, float]
    a150: tuple[int, int, float]


# fmt: off
TABLE3 = (
    Method("ZegFormer", (158, 1954, 4.9), (154, 1932, 16.9)),
    Method("SimBaseline", (331, 1878, 7.0), (329, 1783, 20.5)),
    Method("DeOP", (503, 2791, 7.1), (178, 711, 22.9)),
    Method("OVSeg", (331, 1791, 7.1), (324, 1783, 24.8)),
    Method("SAN", (34, 120, 10.1), (32, 95, 27.5)),
    Method("SED", (196, 571, 11.4), (114, 291, 31.6)),
    Method("CAT-Seg", (552, 2154, 12.0), (369, 1516, 31.8)),
    Method("ERR-Seg", (114, 348, 13.9), (85, 288, 35.8)),
)
# fmt: on


class Reduction(NamedTuple):
    """A row of Table X: which sequences are reduced, GFLOPs of ESCF's layers, memory in GiB."""

    ssr: bool
    csr: bool
    gflops: float
    gib: float

    def apply(self, cfg: CfgNode) -> CfgNode:
        """The configuration of this row.

        Raises:
            UsageError: the configuration is of another system.
        """
        if system_of(cfg).name != TABLE3[-1].name:
            raise UsageError(f"--paper-table 10 is for {TABLE3[-1].name}; leave it out for {system_of(cfg).name}.")
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.ESCF.SSR_RATIO = 2 if self.ssr else 1
        cfg.MODEL.ESCF.CSR_RATIO = 2 if self.csr else 1
        return cfg


TABLE10 = (
    Reduction(False, False, 188.1, 9.5),
    Reduction(True, False, 134.6, 5.9),
    Reduction(False, True, 148.9, 7.8),
    Reduction(True, True, 95.3, 4.2),
)


def table3(rows: Sequence[Row]) -> str:
    """Latency and multiply-adds on A-847 and A-150: the paper's methods, then every form and precision of ours."""
    cells = []
    for method in TABLE3:
        figures = [[f"{ms} ms", str(flops), f"{miou:.1f}"] for ms, flops, miou in (method.a847, method.a150)]
        cells.append([f"{method.name} (paper)", *figures[0], *figures[1]])
    ours: dict[str, dict[str, Row]] = {}
    for row in rows:
        batch = f", batch {row['batch']}" if row["batch"] > 1 else ""
        ours.setdefault(f"errseg, {form_of(row)} {row['precision']}{batch}", {})[row["vocabulary"]] = row
    for name, by_vocabulary in ours.items():
        figures = [
            [duration(row["latency_s"]), number(row["gmacs"], 1), "–"]
            for row in (by_vocabulary[vocabulary] for vocabulary in TABLE3_VOCABULARIES)
        ]
        cells.append([name, *figures[0], *figures[1]])
    header = ["", "A-847 latency", "GFLOPs", "mIoU", "A-150 latency", "GFLOPs", "mIoU"]
    note = (
        "The paper's GFLOPs are multiply-adds, like ours. The paper's latencies were measured on its GPU, ours on the "
        "device above. mIoU is not measured here."
    )
    return f"Table III\n\n{markdown(header, cells)}\n\n{note}"


def table10(rows_of: Sequence[tuple[Reduction, Sequence[Row]]]) -> str:
    """Multiply-adds, time and memory with and without the sequence reductions.

    Args:
        rows_of: each row of the paper with our rows.
    """
    cells = [
        [
            "✓" if reduction.ssr else "", "✓" if reduction.csr else "", form_of(row), row["precision"],
            f"{reduction.gflops:.1f}", f"{reduction.gib:.1f}",
            number(row["escf_gmacs"], 1), duration(row["parts_s"].get("ESCF")), duration(row["latency_s"]),
            memory(row["peak_memory_mb"]),
        ]
        for reduction, rows in rows_of
        for row in rows
    ]  # fmt: skip
    header = [
        "SSR", "CSR", "form", "precision", "GFLOPs (paper)", "GiB (paper)", "GFLOPs", "time of ESCF", "whole model",
        "peak memory",
    ]  # fmt: skip
    note = (
        "GFLOPs are multiply-adds of ESCF's four layers, K = 32. The paper does not say which memory it means; ours is "
        "the memory of a process that predicts one image."
    )
    return f"Table X\n\n{heading(rows_of[0][1][0])}\n\n{markdown(header, cells, words=4)}\n\n{note}"
