"""Results as tables, pictures and one self-contained page.

Nothing here knows of optimizers or models: it is given names and numbers.
"""
