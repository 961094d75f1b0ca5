"""An OpenID provider, as far as API Gateway's JWT authorizers look at one, over HTTPS."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_KEY_ID = "key-1"


@dataclass(frozen=True)
class Issuer:
    """A provider that is up. ``certificate`` (PEM) is what its callers must trust."""

    url: str
    certificate: Path
    key: rsa.RSAPrivateKey

    def token(self, **claims: object) -> str:
        """A token signed by this issuer (RS256), valid for five minutes unless ``exp`` says else."""
        now = int(time.time())
        all_claims = {"iss": self.url, "sub": "ann", "iat": now, "exp": now + 300} | claims
        header = {"alg": "RS256", "typ": "JWT", "kid": _KEY_ID}
        text = ".".join(_b64url(json.dumps(part).encode()) for part in (header, all_claims))
        signed = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_b64url(signed)}"


@contextmanager
def running_issuer(folder: Path) -> Iterator[Issuer]:
    """Have a provider on a free port while the block lasts; its certificate lies in ``folder``."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _write_certificate(folder, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, folder / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Documents) as server:
        server.daemon_threads = True
        url = f"https://127.0.0.1:{server.server_port}"
        numbers = key.public_key().public_numbers()
        jwk = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _KEY_ID}
        server.documents = {
            "/.well-known/openid-configuration": {"issuer": url, "jwks_uri": f"{url}/jwks.json"},
            "/jwks.json": {"keys": [jwk | {"n": _number(numbers.n), "e": _number(numbers.e)}]},
        }
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Issuer(url, certificate, key)
        server.shutdown()


class _Documents(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        document = self.server.documents.get(self.path)
        self.send_response(200 if document else 404)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _write_certificate(folder: Path, key: rsa.RSAPrivateKey) -> Path:
    """Certificate and key of 127.0.0.1, signed by itself, valid for a day."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def _number(value: int) -> str:
    return _b64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
