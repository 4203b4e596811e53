"""A model as files for other programs: ONNX graphs, and a repository that Transformers.js can load."""
