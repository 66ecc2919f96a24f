"""The residual networks that have a name, for pictures of any shape."""

from lookahead_ref.zoo.resnet import ResNet

__all__ = ["resnet18", "resnet32", "resnet50"]


def resnet18(
    shape: tuple[int, int, int], classes: int, *, backend: str = "numpy"
) -> ResNet:
    """Make the ResNet-18 that is usual for CIFAR, and in the paper's experiments.

    The stages of table 1 of [1]_ (two basic blocks each of 64, 128, 256 and 512 channels)
    behind a stem of 3 by 3 without stride or pooling, since the pictures are small.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width of a picture: ``(3, 32, 32)`` for CIFAR.
    classes : int
        Number of classes.
    backend : str, default "numpy"
        As `ResNet` takes it.

    Returns
    -------
    ResNet
        Of 62 arrays; for CIFAR-10, 11,173,962 parameters.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image
       Recognition", CVPR 2016.

    Examples
    --------
    >>> from lookahead_ref import trees
    >>> leaves = trees.flatten(resnet18((3, 32, 32), 10).init(seed=0))
    >>> len(leaves), sum(leaf.size for leaf in leaves.values())
    (62, 11173962)
    """
    return ResNet(shape, classes, (2, 2, 2, 2), (64, 128, 256, 512), backend=backend)


def resnet32(
    shape: tuple[int, int, int], classes: int, *, backend: str = "numpy"
) -> ResNet:
    """Make the ResNet-32 of section 4.2 of [1]_.

    Its stages are five basic blocks each of 16, 32 and 64 channels; its shortcuts have no
    parameters.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width of a picture: ``(3, 32, 32)`` for CIFAR.
    classes : int
        Number of classes.
    backend : str, default "numpy"
        As `ResNet` takes it.

    Returns
    -------
    ResNet
        Of 95 arrays; for CIFAR-10, 464,154 parameters.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image
       Recognition", CVPR 2016.

    Examples
    --------
    >>> from lookahead_ref import trees
    >>> leaves = trees.flatten(resnet32((3, 32, 32), 10).init(seed=0))
    >>> len(leaves), sum(leaf.size for leaf in leaves.values())
    (95, 464154)
    """
    return ResNet(
        shape, classes, (5, 5, 5), (16, 32, 64), shortcut="identity", backend=backend
    )


def resnet50(
    shape: tuple[int, int, int], classes: int, *, backend: str = "numpy"
) -> ResNet:
    """Make the ResNet-50 of table 1 of [1]_, the stride in the 3 by 3 convolutions.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width of a picture: ``(3, 224, 224)`` for ImageNet.
    classes : int
        Number of classes.
    backend : str, default "numpy"
        As `ResNet` takes it.

    Returns
    -------
    ResNet
        Of 161 arrays; for ImageNet, 25,557,032 parameters.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image
       Recognition", CVPR 2016.

    Examples
    --------
    >>> model = resnet50((3, 224, 224), 1000)
    >>> model.block, model.stem, model.blocks
    ('bottleneck', 'large', (3, 4, 6, 3))
    """
    return ResNet(
        shape, classes, (3, 4, 6, 3), (64, 128, 256, 512), "bottleneck", "large",
        backend=backend,
    )  # fmt: skip
