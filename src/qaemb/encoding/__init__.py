"""Encoding models: ridge regression from features to responses, scores, ceilings, intervals, interpretation."""
