"""embedhub: texts to vectors, datasets and answers. This file holds the public names and nothing else."""

__version__ = "0.1.0"
