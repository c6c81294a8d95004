"""Attribution: from a unit, a feature map or a class back to the pixels, layers and parameters."""
