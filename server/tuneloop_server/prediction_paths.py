"""The paths of predictions whose answers the comparator reads. They stand in a file without imports, since the comparator knows them and not what answers them."""

HF_PATHS = ("/", "/predict")
"""Of the Hugging Face task API."""
CHAT_PATH, COMPLETION_PATH = "/v1/chat/completions", "/v1/completions"
"""Of OpenAI's API, where a model generates. In the other protocols the same model says the same in other shapes: copies of such requests are dropped."""
