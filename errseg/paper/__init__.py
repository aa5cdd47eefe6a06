"""The tables and figures of the papers, each by one command: ``errseg paper``.

A record of ``registry.py`` is a table or a figure. Its function makes a ``Sheet``: our figures beside the paper's. What
is measured comes from errseg's evaluation, benchmark, inspection and ablations; ``figures.json`` and
``evaluation/paper.json`` hold the papers' figures.
"""
