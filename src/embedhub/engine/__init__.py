"""Text in, vectors out, one model: tokenizer, packing, graphs, pooling, postprocessing, int8."""
