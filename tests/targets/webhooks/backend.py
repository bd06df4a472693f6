"""A real validating webhook: an HTTPS server in a process of its own, with a certificate authority of its own.

Run by scene.py. It refuses objects with the label `forbidden`, so that a test sees whether it protects anything.
"""

from __future__ import annotations

import base64
import datetime
import json
import ssl
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DENIES = "not with the label forbidden"
LABEL = "forbidden"


class Certificate:
    """An authority and a server certificate of it, for one Service; another one each time."""

    def __init__(self, folder: Path, host: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.key_file = folder / "tls.crt", folder / "tls.key"
        issuer, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        authority = _signed("authority", issuer, "authority", issuer, authority=True)
        made = _signed(host, key, "authority", issuer, x509.SubjectAlternativeName([x509.DNSName(host)]))
        self.bundle = base64.b64encode(_pem(authority)).decode()
        """For caBundle."""
        self.file.write_bytes(_pem(made))
        self.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    by: str,
    issuer: ec.EllipticCurvePrivateKey,
    *extensions: x509.ExtensionType,
    authority: bool = False,
) -> x509.Certificate:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    subject, signer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, by))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
    )
    for one in extensions:
        builder = builder.add_extension(one, critical=False)
    return builder.sign(issuer, hashes.SHA256())


def _pem(found: x509.Certificate) -> bytes:
    return found.public_bytes(serialization.Encoding.PEM)


class Backend:
    """The server's process, on one address; started and killed again and again."""

    def __init__(self, address: str, port: int, certificate: Certificate) -> None:
        self.address, self.port, self.certificate = address, port, certificate
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.kill()
        argv = [self.address, str(self.port), str(self.certificate.file), str(self.certificate.key_file)]
        self._process = subprocess.Popen([sys.executable, "-m", __name__, *argv])
        end = time.monotonic() + 30
        while not self.answers():
            if time.monotonic() > end or self._process.poll() is not None:
                raise AssertionError("the webhook's backend does not start")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, as when a node dies; its connections end with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def answers(self) -> bool:
        """What a readiness probe of the kubelet asks."""
        import http.client

        tls = ssl._create_unverified_context()  # noqa: S323 - a probe looks at no certificate
        connection = http.client.HTTPSConnection(self.address, self.port, timeout=1, context=tls)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = review["request"]
        labels = ((asked.get("object") or {}).get("metadata") or {}).get("labels") or {}
        answer = {"uid": asked["uid"], "allowed": LABEL not in labels}
        if not answer["allowed"]:
            answer["status"] = {"message": DENIES}
        self._answer({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer})

    def _answer(self, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing: the API server's audit log tells it."""


def main(address: str, port: str, certificate: str, key: str) -> None:
    """Serve until the process is killed."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer((address, int(port)), _Handler)
    # The handshake belongs into the thread of its connection: a client that is silent would stop all others.
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
