"""The theory in pictures: each module computes numbers, draws them, and is a command.

Every module has a function `compute`, from its settings to plain data, and a function
`draw`, from this data to a figure: the picture shows nothing that is not in the numbers.
"""
