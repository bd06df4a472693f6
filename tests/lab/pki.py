"""Certificates made at run time: one authority per lab, servers, the service-account key, any client.

Called by `cluster` before the first part starts, and by `Lab.kubeconfig` for each user a test asks for.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.lab.real import addresses

_AGE = datetime.timedelta(days=30)
_SKEW = datetime.timedelta(minutes=5)
_SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
# Loopback, the Service in the cluster, and the control plane in the network of real nodes.
_SERVER_ADDRESSES = ("127.0.0.1", "10.96.0.1", addresses.CONTROL_PLANE)


class Authority:
    """The lab's certificate authority, kept in a directory so that an attached lab can sign too."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certificate_file = directory / "ca.crt"
        self._key_file = directory / "ca.key"
        if not self._key_file.exists():
            self._create()
        self._key = _load_key(self._key_file)
        self._certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())

    def _create(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("resilience-lab", ())
        builder = _builder(name, name, key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.certificate_file.write_bytes(_pem(builder.sign(key, hashes.SHA256())))
        # Last, because its presence means that the pair is complete.
        _write_key(self._key_file, key)

    def server(self, name: str) -> tuple[Path, Path]:
        """A server certificate for loopback, as (certificate, key)."""
        names: list[x509.GeneralName] = [x509.DNSName(each) for each in _SERVER_NAMES]
        names += [x509.IPAddress(ipaddress.ip_address(each)) for each in _SERVER_ADDRESSES]
        return self._issue(name, _name(name, ()), ExtendedKeyUsageOID.SERVER_AUTH, names)

    def client(self, user: str, groups: Iterable[str] = ()) -> tuple[Path, Path]:
        """A client certificate that the API server reads as this user and these groups."""
        groups = tuple(groups)
        file = "client-" + "".join(c if c.isalnum() else "-" for c in "-".join((user, *groups)))[:100]
        return self._issue(file, _name(user, groups), ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def service_account_key(self) -> Path:
        """The key that signs service-account tokens."""
        file = self.directory / "service-account.key"
        if not file.exists():
            _write_key(file, ec.generate_private_key(ec.SECP256R1()))
        return file

    def _issue(
        self, file: str, subject: x509.Name, usage: x509.ObjectIdentifier, names: list[x509.GeneralName]
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self._certificate.subject, key)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate_file, key_file = self.directory / f"{file}.crt", self.directory / f"{file}.key"
        certificate_file.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        _write_key(key_file, key)
        return certificate_file, key_file


def _name(common: str, organizations: Iterable[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _AGE)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(pem)


def _load_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
