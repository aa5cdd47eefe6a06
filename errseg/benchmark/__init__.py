"""How fast the model is, next to its plain form: time, multiply-adds, memory, agreement; ``errseg benchmark``.

Kept free of imports: a process whose peak memory is measured imports ``errseg.benchmark.child``, and no more than that
needs.
"""
