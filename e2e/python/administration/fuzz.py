"""The administration API against its own document, by requests that nobody thought of."""

import base64
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse

from case import case
from system import COMMAND_LIMIT_SECS

PASSWORD = "correct horse battery"
# Whatever is generated is generated again with the same number.
SEED = 20
EXAMPLES = 25
RUN_LIMIT_SECS = 100
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
    "unsupported_method",
)
# What can take the session away that the requests are made with; tried apart, where no request learns names from answers of others.
OWN = ("/accounts/{name}", "/accounts/{name}/password", "/accounts/{name}/certificate")
LOGOUT = "/logout"


class Administration:
    """An administrator's session."""

    def __init__(self, system):
        parts = urllib.parse.urlsplit(system.issuer)
        self.system, self.base = system, f"{parts.scheme}://{parts.netloc}/admin/v1"
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=system.directory))
        password = self.directory / "password"
        with open(os.open(password, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(f"{PASSWORD}\n")
        words = ["account", "add", "fuzzer", "--role", "administrator", "--password-file", str(password), "--dir", str(system.directory)]
        done = subprocess.run([system._program, *words], capture_output=True, text=True, timeout=COMMAND_LIMIT_SECS, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"account add: {done.returncode}\n{done.stdout}\n{done.stderr}"
        # RFC 7617: the parts are not form-encoded here.
        pair = base64.b64encode(f"fuzzer:{PASSWORD}".encode()).decode()
        answer = self.https("POST", "/login", {"Authorization": f"Basic {pair}"})
        assert answer.status == 200, f"no session: {answer.status} {answer.body!r}"
        self.authorization = f"Bearer {answer.json()['token']}"

    def https(self, method, path, headers=None):
        headers = headers or {"Authorization": self.authorization}
        return self.system.https(method, self.base + path, headers=headers)

    def document(self):
        answer = self.https("GET", "/openapi.json", {"Accept": "application/json"})
        assert answer.status == 200, answer.status
        path = self.directory / "openapi.json"
        path.write_bytes(answer.body)
        return path

    def fuzz(self, *words):
        """Runs schemathesis; what it found fails the case."""
        command = [str(pathlib.Path(sys.executable).parent / "schemathesis"), "run", str(self.document()), "--url", self.base]
        command += ["--tls-verify", self.system.ca, "--header", f"Authorization: {self.authorization}", "--exclude-path", LOGOUT]
        command += ["--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--seed", str(SEED), "--no-shrink", "--continue-on-failure"]
        # That most of what is generated is refused is no fault.
        command += ["--suppress-health-check", "all", "--warnings", "off", "--no-color", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_LIMIT_SECS, stdin=subprocess.DEVNULL, cwd=self.directory)
        assert done.returncode == 0, f"schemathesis: {done.returncode}\n{done.stdout}\n{done.stderr}"
        tried = re.search(r"(\d+) generated", done.stdout)
        assert tried and int(tried[1]) > 100, f"too little was tried:\n{done.stdout}"
        still = self.https("GET", "/clients")
        assert still.status == 200, f"the session did not last: {still.status}"


@case
def what_the_administration_api_answers_stands_in_its_document(system):
    administration = Administration(system)
    excluded = [word for path in OWN for word in ("--exclude-path", path)]
    administration.fuzz("--phases", "coverage,fuzzing,stateful", *excluded)
    included = [word for path in OWN for word in ("--include-path", path)]
    administration.fuzz("--phases", "coverage,fuzzing", *included)
