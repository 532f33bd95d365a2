"""A server on this machine that keeps comments as GitHub's and GitLab's APIs do, as far as posting one needs."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BOT = {"github": "github-actions[bot]", "gitlab": "41"}
PEOPLE = {"person": "7"}
LISTS = {"/repos/org/faces/issues/3/comments": "github", "/projects/5/merge_requests/3/notes": "gitlab"}
ONE = {
    r"/repos/org/faces/issues/comments/(\d+)": ("PATCH", "github"),
    r"/projects/5/merge_requests/3/notes/(\d+)": ("PUT", "gitlab"),
}


class CommentServer:
    """Comments of one pull request, in order. A context manager that runs while it is open."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, author: str, body: str) -> dict[str, Any]:
        """A comment of somebody, by GitHub's login or GitLab's number."""
        number = len(self.comments) + 100
        by = {"login": author, "id": int(PEOPLE.get(author, author) if author != BOT["github"] else 1)}
        self.comments.append({"id": number, "user": by, "author": by, "body": body})
        return self.comments[-1]

    def bodies(self) -> list[str]:
        """The texts of all comments."""
        return [comment["body"] for comment in self.comments]

    def answer(self, method: str, target: str, body: str | None) -> Any:
        """The JSON of an answer; None for what the API does not have."""
        url = urlsplit(target)
        if (method, url.path) == ("GET", "/user"):
            return {"id": int(BOT["gitlab"])}
        if method == "GET" and url.path in LISTS:
            query = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
            size = min(query.get("per_page", 30), 100)
            start = (query.get("page", 1) - 1) * size
            return self.comments[start : start + size]
        if method == "POST" and url.path in LISTS and body is not None:
            return self.add(BOT[LISTS[url.path]], body)
        for pattern, (verb, system) in ONE.items():
            match = re.fullmatch(pattern, url.path)
            if match and method == verb and body is not None:
                (comment,) = [one for one in self.comments if one["id"] == int(match[1])]
                if BOT[system] in map(str, comment["user"].values()):  # nobody else's may be changed
                    comment["body"] = body
                    return comment
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                token = self.headers.get("Authorization", self.headers.get("PRIVATE-TOKEN", ""))
                server.tokens.add(token.removeprefix("Bearer "))
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = server.answer(self.command, self.path, json.loads(data)["body"] if data else None)
                self.send_response(404 if answer is None else 200)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            do_GET = do_POST = do_PATCH = do_PUT = _serve

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: tests read what the scripts print."""

        return Handler

    def __enter__(self) -> CommentServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
