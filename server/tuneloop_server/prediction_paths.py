"""The paths of the Hugging Face task API. They stand in a file without imports, since the comparator knows them and not what answers them."""

HF_PATHS = ("/", "/predict")
"""The comparator reads the answers to these. In the other protocols the same model says the same in other shapes: copies of such requests are dropped."""
