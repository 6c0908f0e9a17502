"""What runs inside a vLLM server. It is copied there, so it imports nothing of Tersely."""
