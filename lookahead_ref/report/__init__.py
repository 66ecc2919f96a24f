"""Results as tables, pictures and one self-contained page.

Nothing here knows about optimizers or models, only names and numbers.
"""
