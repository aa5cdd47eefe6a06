"""Measure the model and its plain form: time, multiply-adds, memory, agreement (``errseg benchmark``).

This file imports nothing: a process whose peak memory is measured imports ``errseg.benchmark.child``, and must load
nothing else.
"""
