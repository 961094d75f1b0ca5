"""Pretrained nets of torchvision and timm without their classifiers, and where their weights are."""
