"""The paths of predictions. They stand in a file without imports, since the comparator knows them and not what answers them."""

HF_PATHS = ("/", "/predict")

PREDICTION_PATHS = frozenset(HF_PATHS)
"""Of all protocols. A POST to one of them is answered by the model, whatever it asks."""
