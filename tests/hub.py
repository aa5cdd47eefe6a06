"""A stand-in for the hub's HTTP interface, and a fixture that makes ``huggingface_hub`` ask it."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

import pytest


class Hub:
    """Repositories in memory: ``files[repo][revision]`` are the contents by name. ``asked`` lists the requests."""

    def __init__(self):
        self.files, self.asked = {}, []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, status, content=b"", **headers):
                self.send_response(status)
                for name, value in {"Content-Length": len(content), **headers}.items():
                    self.send_header(name.replace("_", "-"), str(value))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def say(self, content):
                self.answer(200, json.dumps(content).encode(), Content_Type="application/json")

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                path = unquote(urlparse(self.path).path).strip("/")
                hub.asked.append(f"{self.command} {path}")
                parts = path.removeprefix("api/models/").split("/")
                repo = hub.files.get("/".join(parts[:2]))
                if repo is None:
                    return self.answer(404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
                revision = parts[3] if len(parts) > 3 else "main"
                if revision not in repo:
                    return self.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message="Revision not found")
                content = repo[revision]
                digests = {name: hashlib.sha1(data).hexdigest() for name, data in content.items()}
                commit = hashlib.sha1(repr(sorted(digests.items())).encode()).hexdigest()
                if path.startswith("api/models/"):
                    files = [{"rfilename": name} for name in content]
                    return self.say({"id": "/".join(parts[:2]), "sha": commit, "siblings": files})
                data = content.get("/".join(parts[4:]))
                if data is None:
                    return self.answer(404, X_Error_Code="EntryNotFound", X_Error_Message="Entry not found")
                self.answer(200, data, ETag=f'"{digests["/".join(parts[4:])]}"', X_Repo_Commit=commit)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                path = urlparse(self.path).path.strip("/")
                hub.asked.append(f"POST {path}")
                if path == "api/repos/create":
                    asked = json.loads(body)
                    repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
                    hub.files.setdefault(repo, {"main": {}})
                    return self.say({"url": f"{hub.url}/{repo}", "id": "1", "name": repo})
                if "/preupload/" in path:
                    files = [
                        {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                        for each in json.loads(body)["files"]
                    ]
                    return self.say({"files": files})
                if "/commit/" in path:
                    repo, _, revision = path.removeprefix("api/models/").partition("/commit/")
                    for line in map(json.loads, body.splitlines()):
                        if line["key"] == "file":
                            content = base64.b64decode(line["value"]["content"])
                            hub.files[repo].setdefault(revision, {})[line["value"]["path"]] = content
                    return self.say({"commitUrl": f"{hub.url}/{repo}/commit/1", "commitOid": "1"})
                return self.say({"errors": [], "warnings": []})

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        """End the server: the hub is then out of reach."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A ``Hub`` in place of the real one, with an empty cache."""
    from huggingface_hub import constants

    made = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", made.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", made.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 300)  # of a machine that has much else to do
    monkeypatch.setattr("errseg.hub.TIMEOUT", 300)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_tests")  # of the stand-in alone
    yield made
    made.close()
