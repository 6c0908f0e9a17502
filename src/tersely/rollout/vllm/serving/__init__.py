"""Starting vLLM servers, watching over them, and what runs inside them."""
