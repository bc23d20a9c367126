"""Runtimes: what computes the features of a prediction. Torch does as it is; others run the graphs that torch wrote."""
