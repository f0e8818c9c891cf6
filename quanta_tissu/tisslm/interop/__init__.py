"""Other projects' formats: Hugging Face, llama2.c, GGUF."""
