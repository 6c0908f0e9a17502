"""In place of vLLM's API server where it is the supervision that is tested: starts in no time, and
ends when it is told to. The weights say how: `broken` end it at its start, `brittle` as soon as it
was used."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

told = dict(zip(sys.argv[1::1], sys.argv[2::1], strict=False))
weights = (Path(told["--model"]) / "model.safetensors").read_text()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        said = {
            "arguments": sys.argv[1:],
            "environment": dict(os.environ),
            "cwd": os.getcwd(),
            "pid": os.getpid(),
            "weights": weights,
        }
        self.send_response(200)
        self.send_header("x-tersely-serve", os.environ["TERSELY_SERVE_IDENTITY"])
        self.end_headers()
        if self.path != "/health":
            self.wfile.write(json.dumps(said).encode())
        elif weights == "brittle":
            self.wfile.flush()
            os._exit(7)

    def log_message(self, *arguments: object) -> None:
        pass


if weights == "broken":
    print("(EngineCore pid=7) ERROR 11-21 18:00:00 [core.py:1] RuntimeError: no room", flush=True)
    print("(APIServer pid=6) RuntimeError: Engine core initialization failed.", flush=True)
    sys.exit(1)
HTTPServer((told["--host"], int(told["--port"])), Handler).serve_forever()
