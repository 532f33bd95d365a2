"""Post the gate's comment on a merge request of GitLab, or update the one that is there.

    python gitlab_note.py gentest-gate/comment.md

GENTEST_TOKEN is a project access token (scope `api`, role Reporter): the job's own token cannot write notes. The other
variables are GitLab's.
"""

import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

LIMIT = 1_000_000
"""Characters of a note."""
API = os.environ["CI_API_V4_URL"]
NOTES = f"{API}/projects/{os.environ['CI_PROJECT_ID']}/merge_requests/{os.environ['CI_MERGE_REQUEST_IID']}/notes"


def call(method: str, url: str, body: str | None = None) -> Any:
    """The answer of GitLab's API. Raises `HTTPError` if it refuses."""
    data = None if body is None else json.dumps({"body": body}).encode()
    headers = {"PRIVATE-TOKEN": os.environ["GENTEST_TOKEN"], "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def post(text: str) -> None:
    """Post the text, or replace the note of the same user that begins with the same line."""
    marker, page = text.partition("\n")[0], 1
    if not marker.startswith("<!-- gentest comment"):
        sys.exit("not a comment of gentest")
    own = call("GET", f"{API}/user")["id"]
    while notes := call("GET", f"{NOTES}?per_page=100&page={page}"):
        for note in notes:
            if note["author"]["id"] == own and note["body"].startswith(marker):
                call("PUT", f"{NOTES}/{note['id']}", text)
                return
        page += 1
    call("POST", NOTES, text)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    if not file.exists():
        sys.exit("the gate wrote no comment: see its log")
    post(file.read_text(encoding="utf-8", errors="replace")[:LIMIT])
